"""What a question limits itself to: a period, the latest edition, the names of those it asks about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.editions import Order, family
from rag.language import LETTERS

YEARS = re.compile(r"(?<!\d)(?:19[5-9]\d|20[0-4]\d)(?!\d)")
ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "erste": 1,
    "zweite": 2,
    "dritte": 3,
    "vierte": 4,
}
# "before 2024", and not "before May 2024".
BEFORE = re.compile(
    r"\b(?:before|prior to|vor|avant|antes del?)\s+(?P<year>19[5-9]\d|20[0-4]\d)(?!\d)", re.IGNORECASE
)
QUARTERS = re.compile(
    r"(?<![^\W\d_])Q(?P<number>[1-4])(?![^\W_])"
    r"|\b(?P<word>first|second|third|fourth|erste|zweite|dritte|vierte)[nrs]?[ -](?:fiscal )?"
    r"(?:quarter|quartal)\b",
    re.IGNORECASE,
)
LATEST = re.compile(
    r"\b(?:latest|newest|(?:most )?recent|current(?:ly)?|neueste[nrs]?|aktuelle[nrs]?)\b", re.IGNORECASE
)
WORDS = re.compile(LETTERS)
# Words that a question begins with, or writes large, without naming anything.
NOT_NAMES = frozenset(
    WORDS.findall(
        "a an and are as at by can could did do does for form from had has have how if in is of on or should "
        "the to was were what when where which who whom whose why will with would der die das ein eine wie "
        "wer wo wann warum welche welcher welches ist sind hat haben kann im"
    )
)


@dataclass(frozen=True, slots=True)
class Period:
    """Years and quarters that a text names. `before`: any year in front of this one is meant."""

    years: frozenset[int]
    quarters: frozenset[int]
    before: int = 0

    @classmethod
    def of(cls, text: str) -> Period:
        """What `text` names: "Q3 2023", "third quarter of 2023", "2023_Q3"."""
        found = (match["number"] or ORDINALS[match["word"].casefold()] for match in QUARTERS.finditer(text))
        return cls(frozenset(map(int, YEARS.findall(text))), frozenset(map(int, found)))

    def __bool__(self) -> bool:
        return bool(self.years or self.quarters or self.before)

    def __str__(self) -> str:
        bound = [f"before {self.before}"] if self.before else []
        return " ".join([*(f"Q{n}" for n in sorted(self.quarters)), *map(str, sorted(self.years)), *bound])

    def agreement(self, asked: Period) -> int:
        """+1 for a year and for a quarter that was asked for, -1 for another one, 0 for none."""
        if asked.before and self.years:
            return 1 if min(self.years) < asked.before else -1
        pairs = ((self.years, asked.years), (self.quarters, asked.quarters))
        # A title that names several periods, such as a table of years, contradicts none.
        return sum(
            1 if own & wanted else -1 if len(own) == 1 else 0 for own, wanted in pairs if own and wanted
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """The limits of one question. `latest`: it asks for the newest edition and names no period."""

    period: Period
    latest: bool
    names: frozenset[str]

    @classmethod
    def of(cls, question: str) -> Scope:
        """Read from the words of a question; names are words with a capital, folded."""
        period = Period.of(question)
        if len(period.years) == 1 and (bound := BEFORE.search(question)):
            period = Period(frozenset(), period.quarters, int(bound["year"]))
        words = WORDS.findall(QUARTERS.sub(" ", question))
        names = {word.casefold() for word in words if word[0].isupper() and len(word) > 1}
        return cls(period, LATEST.search(question) is not None and not period, frozenset(names - NOT_NAMES))


def edition(title: str) -> tuple[str, tuple[Order, int]]:
    """The name of a series, and which of it this is: of those of one series the greatest is the newest."""
    quarters = Period.of(title).quarters
    stem, order = family(QUARTERS.sub(" ", title.replace("_", " ")))
    return stem, (order, max(quarters, default=0))
