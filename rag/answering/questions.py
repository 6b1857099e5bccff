"""What kind of thing a question asks for, and whether a sentence holds such a thing anew."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from rag.answering.facts import quantities, values
from rag.answering.numerals import HOURS
from rag.answering.words import WORD, content, proper, stem


class Kind(Enum):
    """What would answer: the first pattern that fits names the kind. English and German."""

    AMOUNT = (
        r"\bhow (?:many|much|long|old|far|often|large|big|tall|high|fast|deep|heavy|few)\b|\bpercent|"
        r"\b(?:what|which) (?:number|ratio|amount|age|share|price|fee|limit|temperature)\b|"
        r"\bwie (?:viele?|lange|hoch|oft|weit|alt|gro(?:ß|ss)|teuer)\b|\bprozent"
    )
    TIME = (
        r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade|time|period)\b|"
        r"\bwann\b|\b(?:welche[mnrs]?|seit|bis) (?:jahr|tag|datum|monat|wann)"
    )
    PERSON = r"\bwho(?:m|se)?\b|\bwhich (?:person|people)\b|\bwe(?:r|n|m|ssen)\b"
    PLACE = (
        r"\bwhere\b|\b(?:what|which) (?:city|country|state|place|river|region|location|town)\b|"
        r"\bwo(?:hin|her)?\b"
    )
    YES_NO = (
        r"^\s*(?:is|are|was|were|do|does|did|can|could|may|must|should|will|has|have|ist|sind|war|darf|dürfen|kann|"
        r"können|muss|müssen|gibt|hat|haben|wird|werden)\b"
    )
    OTHER = ""


# Amounts beside numbers, which facts.quantities reads.
VAGUE = re.compile(
    r"\b(?:one|hundreds?|thousands?|half|third|quarter|several|both|none|hälfte|keine?)\b", re.IGNORECASE
)
HOUR = rf"(?:\d{{1,2}}|one|{HOURS})"
TIME = re.compile(
    r"\b(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zä]*\b|\b(?:century|centuries|decades?|"
    r"years?|months?|weeks?|days?|hours?|today|jahr\w*|monat\w*|woche\w*|tage?n?|stunden?)\b|\b\d{4}s?\b|\b\d{1,2}[:.]\d\d\b|"
    r"\b(?:noon|midday|midnight|mittags?|mitternacht|half past \w+|quarter (?:past|to) \w+|halb \w+)\b|"
    rf"\b(?:at|until|till|by|past|um|bis|gegen) {HOUR}\b(?!\s*[%€$£])|\b{HOUR} (?:o['’]clock|uhr|[ap]\.?m\b)",
    re.IGNORECASE,
)

# The share of the question's words that a sentence about it has at least.
TAKEN_UP = 0.4


def kind_of(question: str) -> Kind:
    """The kind of a question."""
    return next(kind for kind in Kind if re.search(kind.value, question, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class Sought:
    """What a question asks for, read once for all the sentences that are held against it.

    `stems` and, where an amount is asked for, `numbers`: what it says itself, which answers nothing.
    """

    kind: Kind
    stems: frozenset[str]
    numbers: frozenset[Decimal] = frozenset()

    @classmethod
    def of(cls, question: str) -> Sought:
        kind = kind_of(question)
        stems = frozenset(stem(word) for word in WORD.findall(question))
        return cls(kind, stems, values(question) if kind is Kind.AMOUNT else frozenset())

    def is_in(self, sentence: str) -> bool:
        """Whether a sentence holds something new of the kind asked for; true where the kind does not tell."""
        if self.kind is Kind.AMOUNT and any(
            self.numbers.isdisjoint(each.values) for each in quantities(sentence, with_dates=True)
        ):
            return True
        if self.kind in (Kind.AMOUNT, Kind.TIME):
            pattern = VAGUE if self.kind is Kind.AMOUNT else TIME
            return any(stem(match.group()) not in self.stems for match in pattern.finditer(sentence))
        if self.kind in (Kind.PERSON, Kind.PLACE):
            return any(name not in self.stems for name in proper(sentence))
        return True


def says_something(question: str, sentence: str) -> bool:
    """Whether a sentence takes up the question, adds something to it, and holds what its kind asks for."""
    asked = set(content(question))
    said = content(sentence)
    new = [word for word in said if word not in asked]
    if len(asked.intersection(said)) < TAKEN_UP * len(asked):
        return False
    sought = Sought.of(question)
    if sought.kind in (Kind.PERSON, Kind.PLACE):
        # A name at the very start is new too, and the only one in "Rollo led them."
        return bool(new) and any(word[:1].isupper() and stem(word) in new for word in WORD.findall(sentence))
    return (bool(new) or sought.kind is Kind.YES_NO) and sought.is_in(sentence)


def adds_something(question: str, sentence: str) -> bool:
    """Whether a sentence takes up a word of the question and says more than it: one of several sentences need
    not hold what the question asks for, which may be several things."""
    asked, said = set(content(question)), set(content(sentence))
    return bool(asked & said) and bool(said - asked)
