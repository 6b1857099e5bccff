"""What a question and its evidence look like to the router: names and numbers, never text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rag.types import Passage


class QuestionKind(StrEnum):
    """What a question asks for."""

    SIMPLE_LOOKUP = "simple_lookup"  # one fact, in one place
    MULTI_HOP = "multi_hop"  # a fact about what another fact names
    MULTI_DOCUMENT = "multi_document"  # over several documents or periods
    TABLE_CALCULATION = "table_calculation"  # figures of a table, reckoned with
    FOLLOW_UP = "follow_up"  # one more turn about the same
    CHITCHAT = "chitchat"  # nothing that documents could answer
    NO_RETRIEVAL_TOOL = "no_retrieval_tool"  # a clock, a calculator or a translator would


IDLE = (QuestionKind.CHITCHAT, QuestionKind.NO_RETRIEVAL_TOOL)
HARD = (QuestionKind.MULTI_HOP, QuestionKind.MULTI_DOCUMENT, QuestionKind.TABLE_CALCULATION)

# "Can I work from home on Fridays?" sounds like small talk to weights trained on a voice assistant's (.72).
SURE = 0.8


@dataclass(frozen=True, slots=True)
class Signals:
    """The probability of each kind by its words, and whether a turn came before. `learned`: from the vector;
    otherwise from counts alone, which tell less."""

    kinds: Mapping[QuestionKind, float]
    in_conversation: bool = False
    words: int = 0
    learned: bool = True

    @property
    def topic(self) -> QuestionKind:
        """The likeliest kind of the words alone. Words like those of later turns ask for one fact, and so
        does what only might ask for nothing."""
        idle = sum(self.kinds.get(kind, 0.0) for kind in IDLE)
        open_ = [kind for kind in self.kinds if kind not in IDLE or idle >= SURE]
        likeliest = max(open_, key=lambda kind: self.kinds[kind], default=QuestionKind.SIMPLE_LOOKUP)
        return QuestionKind.SIMPLE_LOOKUP if likeliest is QuestionKind.FOLLOW_UP else likeliest

    @property
    def kind(self) -> QuestionKind:
        """The likeliest kind; any later turn is a follow-up unless it plainly asks the documents nothing."""
        return QuestionKind.FOLLOW_UP if self.in_conversation and self.topic not in IDLE else self.topic


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the search found. `confidence`: the probability that the best quotes answer (rag.answering).

    `top` and `gap`: the best fused score, and how far the next passage lies below it. `documents`: how many
    different ones are among the passages.
    """

    confidence: float
    top: float = 0.0
    gap: float = 0.0
    passages: int = 0
    documents: int = 0

    @classmethod
    def of(cls, passages: Sequence[Passage], confidence: float) -> Evidence:
        """The shape of what was found, best passage first."""
        scores = sorted((passage.score for passage in passages), reverse=True)
        top = scores[0] if scores else 0.0
        gap = top - scores[1] if len(scores) > 1 else top
        return cls(confidence, top, gap, len(passages), len({each.document_id for each in passages}))


@dataclass(frozen=True, slots=True)
class Draft:
    """What became of a tier's words: sentences it said, how many of them a passage supports, and whether it
    was cut off at its limit of tokens."""

    sentences: int
    supported: int
    cut: bool = False

    @property
    def share(self) -> float:
        """The part of the sentences that got out; 0 for a draft that said nothing."""
        return self.supported / self.sentences if self.sentences else 0.0


WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
PATTERNS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "reckons": r"\b(?:change|difference|percent\w*|average|ratio|total|sum|increase|decrease|growth"
        r"|Differenz|Prozent|Durchschnitt|Summe|Änderung)\b|%",
        "spans": r"\b(?:quarters?|periods?|years|trends?|across|over time|compare[ds]?|consistent\w*|each"
        r"|Quartale?|Zeitraum|Vergleich\w*)\b",
        "compares": r"\b(?:both|same|either|older|younger|larger|first|more|or|beide|oder|gleiche\w*)\b",
        "links": r"\b(?:who|whose|whom|which|that|where|in which|of the|von dem|dessen|deren)\b",
        "addresses": r"\b(?:you|your|you're|me|my|i|i'm|du|dein\w*|ich|mir|mein\w*)\b",
        "greets": r"\b(?:hi|hey|hello|bye|thanks?|please|joke\w*|fun|hallo|danke|bitte|tschüss|witz)\b",
        "commands": r"^(?:set|tell|give|flip|roll|remind|convert|translate|calculate|divide|multiply|make"
        r"|spell|what time|stelle?|sag|rechne|übersetze)\b",
        "measures": r"\b(?:times|minus|plus|divided|multiplied|timer|alarm|weather|date|time|ounces?|gallons?"
        r"|inch\w*|in (?:spanish|french|german|italian)|define|definition|spell\w*|Uhr|Wetter|Wecker)\b",
        "asks_who": r"^(?:who|whom|whose|wer|wen)\b",
        "asks_when": r"^(?:when|where|wann|wo|in what year|in which year)\b",
        "asks_how_many": r"^how (?:many|much|long|old)\b",
        "asks_yes": r"^(?:is|are|was|were|do|does|did|has|have|can|could|ist|sind|hat|kann)\b",
    }.items()
}
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
FEATURES = ("words", "years", "digits", "names", "commas", "question_mark", *PATTERNS)


def features(question: str) -> list[float]:
    """The numbers of FEATURES: counts that shrink as they grow, so that one long question is no outlier."""
    words = WORD.findall(question)
    names = sum(word[0].isupper() for word in words[1:])
    counts = [len(words), len(YEAR.findall(question)), sum(char.isdigit() for char in question), names]
    counts += [question.count(","), question.rstrip().endswith("?")]
    counts += [len(pattern.findall(question)) for pattern in PATTERNS.values()]
    return [math.log1p(count) for count in counts]
