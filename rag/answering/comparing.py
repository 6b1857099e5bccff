"""Questions that put two named things side by side: each of them needs a sentence of its own."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from rag.answering.words import content

MOST_CHARACTERS = 300
FIRST = r"(?:[A-ZÀ-Þ]|\d)[\w.'’&-]*"
# The Bank of Norway, Le roi malgré lui, Plan 9: capitals and numbers, few small words between them.
LINK = r"(?:of|de|la|le|du|des|the|and the|von|van|der|di|da|et|&)"
NAME = rf"(?<![^\W_])(?:[\"“„][^\"”“„]+[\"”“]|{FIRST}(?:(?: {LINK})* {FIRST})*)"
ARTICLE = r"(?:[Bb]oth |[Bb]eide )?(?:the |a |an |der |die |das |den |dem )?"
AGAIN = r"(?:(?:in|on|at|for|of|to|by|with|from|für|im|am|bei|mit|von|nach) )?"
EITHER = re.compile(rf"{ARTICLE}(?P<one>{NAME}),? (?:or|oder) {AGAIN}{ARTICLE}(?P<other>{NAME})")
BOTH = re.compile(rf"{ARTICLE}(?P<one>{NAME}),? (?:and|und) {AGAIN}{ARTICLE}(?P<other>{NAME})")
ONE_MORE = re.compile(rf"{NAME}, $")
# English and German.
TOGETHER = (
    r"both|same|in common|shared|differ\w*|compared?|beide[nrs]?|gleiche?n?|selben?|dieselben?|"
    r"unterschied\w*|verglichen|gemeinsam"
)
# "longer than 8 hours" and "at least" compare with something else.
MORE = (
    r"(?<!at )(?<!at the )(?:more|most|less|least|fewer|fewest|earlier|later|closer|better|worse|"
    r"(?:old|young|larg|bigg|small|high|low|tall|long|short|cheap|fast|slow|heav|busi|new|strong|near|wid|rich)i?"
    r"(?:er|est)|mehr|weniger|früher|später|näher|besser|schlechter|"
    r"(?:ält|jüng|größ|klein|höh|niedrig|läng|kürz|billig|günstig|teur|schnell|langsam|schwer|neu)er\w*)"
    r"(?! (?:than|als))"
)
OF_BOTH = re.compile(rf"\b(?:{TOGETHER})\b", re.IGNORECASE)
OF_ONE_BESIDE_THE_OTHER = re.compile(rf"\b(?:{MORE})\b", re.IGNORECASE)
SEQUENCE = re.compile(r"\b(?:first|last|zuerst|zuletzt)\b", re.IGNORECASE)
# "Can I take more leave in June or July?" asks for a rule, which may name neither.
WEIGHS = re.compile(
    r"\W*(?:(?:in|at|for|bei) )?(?:which|who|what|whose|is|are|was|were|do|does|did|has|have|had|compare|"
    r"wer|wessen|welche\w*|ist|sind|war|waren|hat|haben|hatten?|kostet|kosten|liegt|liegen|verdient|vergleiche?)\b",
    re.IGNORECASE,
)
FORMS = frozenset("gmbh ag se kg ltd inc llc corp co herr frau mr mrs ms dr".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things that a question weighs, by their stems. `needs_both`: one of them alone is no answer."""

    one: frozenset[str]
    other: frozenset[str]
    needs_both: bool

    @classmethod
    def of(cls, question: str) -> Comparison | None:
        """What a question weighs: "A or B", or "A and B" where it asks for both; None: nothing, or three."""
        question = question.strip()
        if len(question) > MOST_CHARACTERS:
            return None
        together = OF_BOTH.search(question) is not None
        either = [*EITHER.finditer(question)]
        found = either or ([*BOTH.finditer(question)] if together else [])
        if not found or ONE_MORE.search(question[: found[-1].start()]):
            return None
        weighed = together or OF_ONE_BESIDE_THE_OTHER.search(question) is not None
        if not weighed and not SEQUENCE.search(question):
            return None
        one, other = (words_of(found[-1], side) for side in ("one", "other"))
        if not is_name(one - other) or not is_name(other - one):
            return None
        return cls(one, other, weighed and WEIGHS.match(question) is not None)


def words_of(match: re.Match[str], side: str) -> frozenset[str]:
    """The stems of a name. The first word of a question is a capital too: "Kostet Basic oder Pro mehr?"."""
    name = match[side]
    _, _, rest = name.partition(" ")
    if match.start(side) == 0 and rest:
        name = rest
    return frozenset(content(name)) - FORMS


def is_name(stems: Collection[str]) -> bool:
    """Whether these are more than numbers: 2018 and 2019 are columns of one row."""
    return any(not each.isdigit() for each in stems)


def is_about(name: frozenset[str], words: Collection[str]) -> bool:
    """Whether a text has the words of a name: both of two, two of three ("Neil Jordan American")."""
    return 3 * sum(each in words for each in name) >= 2 * len(name)
