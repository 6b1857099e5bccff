"""Answers given before, for the same question over the same live passages and the same reader's rights."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from rag import __version__
from rag.answering.brief import wording
from rag.answering.facts import contradictions, dates, identifiers, names, negated, quantities
from rag.answering.grounding import CHECKED
from rag.answering.questions import kind_of
from rag.answering.replies import replies
from rag.answering.words import WORD, content
from rag.language import UNTOLD, is_latin, spoken
from rag.settings import AnsweringSettings
from rag.store.vectors import Vectors
from rag.types import Answer, Passage, Principal

MOST_ANSWERS, MOST_BYTES, MOST_TENANTS = 256, 2_000_000, 64
ALIKE = 0.95  # cosine of two questions that may be one


class CachePolicy(StrEnum):
    """Which earlier answers may be given again.

    EXACT: to the same question over the same passages, which is what computing it anew would give. SEMANTIC:
    also to a question that asks the same in other words, as far as that can be checked.
    """

    OFF = "off"
    EXACT = "exact"
    SEMANTIC = "semantic"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that an answer depends on beside the words of the question.

    `evidence` names each passage found with its version, in order: it changes when a document changes, when
    another one is found, or when the reader may read other ones. `recipe`: model, wording and settings.
    """

    tenant: str
    readership: str
    tier: str
    recipe: str
    evidence: tuple[tuple[str, int, str], ...]

    @classmethod
    def of(cls, principal: Principal, tier: str, recipe: str, passages: Sequence[Passage]) -> Situation:
        evidence = tuple((each.chunk.id, each.version, print_of(each)) for each in passages)
        return cls(principal.tenant, principal.readership, tier, recipe, evidence)


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer without its passages, and the question."""

    question: str
    answer: Answer

    @property
    def size_bytes(self) -> int:
        words = (
            self.question,
            self.answer.text,
            *(part for c in self.answer.citations for part in (c.quote, c.header)),
        )
        return 512 + sum(len(word.encode()) for word in words)


@dataclass
class Shelf:
    """The answers of one tenant, least recently used first."""

    answers: OrderedDict[tuple[Situation, str], Remembered] = field(default_factory=OrderedDict)
    size_bytes: int = 0


def recipe_of(settings: AnsweringSettings, model_sha256: str) -> str:
    """What an answer is made with: the model, its instructions, how sentences are chosen and checked."""
    told = "\x1f".join(wording(name) for name in ("system", "otherwise", "unsaid", "question", "passage"))
    said = "\x1e".join((__version__, model_sha256, settings.model_dump_json(), told, str(replies())))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


class AnswerMemory:
    """A bounded memory of answers, apart for each tenant. In this process only: a restart forgets all."""

    def __init__(
        self, policy: CachePolicy, *, most_answers: int = MOST_ANSWERS, most_bytes: int = MOST_BYTES
    ) -> None:
        self.policy, self.most_answers, self.most_bytes = policy, most_answers, most_bytes
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._epoch: str | None = None

    def at(self, epoch: str | None) -> None:
        """Forget everything when a document was removed since: its words may be quoted in any answer."""
        if epoch != self._epoch:
            self._shelves.clear()
            self._epoch = epoch

    def find(self, question: str, situation: Situation) -> Answer | None:
        """The answer to this very question in this situation."""
        if self.policy is CachePolicy.OFF:
            return None
        shelf = self._shelves.get(situation.tenant)
        key = (situation, normal(question))
        if shelf is None or key not in shelf.answers:
            return None
        shelf.answers.move_to_end(key)
        return replace(shelf.answers[key].answer, cached=CachePolicy.EXACT)

    async def find_alike(self, question: str, situation: Situation, vectors: Vectors) -> Answer | None:
        """The answer to the question nearest in meaning, in this situation, if it asks for the same."""
        shelf = self._shelves.get(situation.tenant)
        if self.policy is not CachePolicy.SEMANTIC or shelf is None:
            return None
        same = [
            each
            for (where, _), each in shelf.answers.items()
            if where == situation and same_facts(question, each.question)
        ]
        if not same:
            return None
        (cosines,) = await vectors.similarity([question], [each.question for each in same])
        nearest, best = max(zip(cosines, same, strict=True), key=lambda pair: pair[0])
        return replace(best.answer, cached=CachePolicy.SEMANTIC) if nearest >= ALIKE else None

    def keep(self, question: str, situation: Situation, answer: Answer) -> None:
        """Remember an answer; the oldest ones make room."""
        if self.policy is CachePolicy.OFF:
            return
        if not situation.evidence:
            return  # nothing found: nothing to save, and nothing that tells when it changes
        shelf = self._shelves.setdefault(situation.tenant, Shelf())
        self._shelves.move_to_end(situation.tenant)
        while len(self._shelves) > MOST_TENANTS:
            self._shelves.popitem(last=False)
        made = Remembered(question, replace(answer, passages=()))
        key = (situation, normal(question))
        if key in shelf.answers:
            shelf.size_bytes -= shelf.answers.pop(key).size_bytes
        shelf.answers[key] = made
        shelf.size_bytes += made.size_bytes
        while len(shelf.answers) > self.most_answers or shelf.size_bytes > self.most_bytes:
            _, gone = shelf.answers.popitem(last=False)
            shelf.size_bytes -= gone.size_bytes

    def __len__(self) -> int:
        return sum(len(shelf.answers) for shelf in self._shelves.values())


def normal(question: str) -> str:
    """A question without blanks, forms of letters and the last mark. Its case stays: it may mean a name."""
    return " ".join(unicodedata.normalize("NFC", question).split()).rstrip("?!. ")


def print_of(passage: Passage) -> str:
    """A short digest of all that a passage brings into an answer: its text, headings, and title."""
    said = "\x1f".join((passage.chunk.text, *passage.chunk.heading_path, passage.title, passage.uri))
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def same_facts(one: str, other: str) -> bool:
    """Whether two questions name the same numbers, dates, names and codes, and deny and compare alike.

    Vectors do not tell 2023 from 2024, nor most from least.
    """
    return (
        {each.values for each in quantities(one, with_dates=True)}
        == {each.values for each in quantities(other, with_dates=True)}
        and dates(one) == dates(other)
        and names(one) == names(other)  # in their order: who did it to whom
        and sorted(identifiers(one)) == sorted(identifiers(other))
        and negated(one) == negated(other)
        and kind_of(one) is kind_of(other)
        and not contradictions(one, other)
        and not contradictions(other, one)
        and bool(set(content(one)) & set(content(other)))
        and (known(one, other) or set(WORD.findall(one.lower())) == set(WORD.findall(other.lower())))
    )


def known(one: str, other: str) -> bool:
    """Whether both are in a language in which what they deny is seen, and names by their capitals."""
    return is_latin(one + other) and {spoken(each, UNTOLD) for each in (one, other)} <= CHECKED
