"""Questions that put two named things side by side: each of them needs a sentence of its own."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from rag.answering.words import content

MOST_CHARACTERS = 300
FIRST = r"(?:[A-ZÀ-Þ]|\d)[\w.'’&-]*"
# The Bank of Norway, Art for All, Plan 9: capitals and numbers with small words between them.
LINK = r"(?:of|de|la|le|du|des|the|and the|von|van|der|di|da|in|on|for|to|by|et|&|für|im|am)"
NAME = rf"(?:[\"“„][^\"”“„]+[\"”“]|{FIRST}(?:(?: {LINK})* {FIRST})*)"
ARTICLE = r"(?:[Bb]oth |[Bb]eide )?(?:the |a |an |der |die |das |den |dem )?"
AGAIN = r"(?:(?:in|on|at|for|of|to|by|with|from|für|im|am|bei|mit|von|nach) )?"
EITHER = re.compile(rf"{ARTICLE}(?P<one>{NAME}),? (?:or|oder) {AGAIN}{ARTICLE}(?P<other>{NAME})")
BOTH = re.compile(rf"{ARTICLE}(?P<one>{NAME}),? (?:and|und) {AGAIN}{ARTICLE}(?P<other>{NAME})")
# English and German.
TOGETHER = (
    r"both|same|common|shared?|differ\w*|compared?|between|beide[nrs]?|gleiche?n?|selben?|dieselben?|"
    r"unterschied\w*|verglichen|zwischen|gemeinsam"
)
MORE = (
    r"more|most|less|least|fewer|fewest|first|last|earlier|earliest|later|latest|closer|better|best|worse|than|"
    r"(?:old|young|larg|bigg|small|high|low|tall|long|short|cheap|fast|slow|heav|busi|new|strong|near|wid|rich)i?"
    r"(?:er|est)|mehr|weniger|zuerst|zuletzt|früher|später|näher|besser|schlechter|als|"
    r"(?:ält|jüng|größ|klein|höh|niedrig|läng|kürz|billig|günstig|teur|schnell|langsam|schwer|neu)er\w*"
)
OF_BOTH = re.compile(rf"\b(?:{TOGETHER})\b", re.IGNORECASE)
OF_ONE_BESIDE_THE_OTHER = re.compile(rf"\b(?:{TOGETHER}|{MORE})\b", re.IGNORECASE)
# Of the words of a name: "Are both Jim McBride and Neil Jordan American?"
ENOUGH = 0.6


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things that a question names, by their stems. `needs_both`: one of them alone is no answer."""

    one: frozenset[str]
    other: frozenset[str]
    needs_both: bool

    @classmethod
    def of(cls, question: str) -> Comparison | None:
        """What a question puts side by side: "A or B", or "A and B" where it asks for both; None: nothing."""
        if len(question) > MOST_CHARACTERS:
            return None
        found = [*EITHER.finditer(question)]
        if not found and OF_BOTH.search(question):
            found = [*BOTH.finditer(question)]
        if not found:
            return None
        one, other = (frozenset(content(found[-1][side])) for side in ("one", "other"))
        if not is_name(one - other) or not is_name(other - one):
            return None
        return cls(one, other, OF_ONE_BESIDE_THE_OTHER.search(question) is not None)


def is_name(stems: Collection[str]) -> bool:
    """Whether these are more than numbers: 2018 and 2019 are columns of one row."""
    return any(not each.isdigit() for each in stems)


def is_about(name: frozenset[str], words: Collection[str]) -> bool:
    """Whether a text has the words of a name, all but some."""
    return sum(each in words for each in name) >= ENOUGH * len(name)
