"""When a sentence holds and for when a question asks, in years: "from 2021 to 2023", "before 2024", "now"."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST, LAST = 0, 9999  # no beginning, no end
YEAR = r"(?P<{}>(?:19|20)\d\d)(?!\d)"
# What stands between such a word and its year: a day, a month, "the end of".
GAP = r"(?:[^\W\d_]+\.?\s+|\d{1,2}(?:\.|st|nd|rd|th|er)?\s+){0,4}"
FROM = (
    r"(?:from|between|since|as of|starting|von|vom|zwischen|seit|ab|"
    r"depuis|à partir d\w|entre|desde|a partir d\w+|de|du)"
)
TO = r"(?:to|until|till|through|and|bis|und|à|au|jusqu['’]\w+|et|hasta|al?|y)"
BEFORE = r"(?:before|until|till|up to|prior to|through|vor|bis|avant|jusqu['’]\w+|antes d\w+|hasta)"
SINCE = (
    r"(?:since|as of|starting|after|from|valid from|seit|ab|nach|"
    r"depuis|après|à partir d\w|desde|a partir d\w+|después d\w+)"
)
RANGE = re.compile(
    rf"\b{FROM}\s+{GAP}{YEAR.format('a')}\s+{TO}\s+{GAP}{YEAR.format('b')}|"
    rf"\b{YEAR.format('c')}\s*[-–]\s*{YEAR.format('d')}",
    re.IGNORECASE,
)
UNTIL = re.compile(rf"\b{BEFORE}\s+(?P<gap>{GAP}){YEAR.format('y')}", re.IGNORECASE)
ONWARD = re.compile(rf"\b{SINCE}\s+{GAP}{YEAR.format('y')}", re.IGNORECASE)
STRICTLY = re.compile(r"before|prior|vor|avant|antes", re.IGNORECASE)
NOW = re.compile(
    r"\b(?:now|nowadays|today|current(?:ly)?|at present|still|jetzt|heute|aktuell\w*|derzeit\w*|momentan|"
    r"maintenant|actuel\w*|aujourd['’]hui|ahora|hoy|actual(?:es|mente)?)\b",
    re.IGNORECASE,
)
BARE = re.compile(rf"\b{YEAR.format('y')}")


@dataclass(frozen=True, slots=True)
class Span:
    """The years from `start` to `end`, both included."""

    start: int
    end: int

    def meets(self, other: Span) -> bool:
        return self.start <= other.end and other.start <= self.end


def said(text: str) -> Span | None:
    """The years for which a sentence says that it holds; None where it says nothing of the kind."""
    if match := RANGE.search(text):
        return Span(int(match["a"] or match["c"]), int(match["b"] or match["d"]))
    if match := UNTIL.search(text):
        return Span(FIRST, int(match["y"]) - bare(match))
    if match := ONWARD.search(text):
        return Span(int(match["y"]), LAST)
    return None


def asked(question: str) -> Span | None:
    """The years that a question asks about; now is the last of all."""
    if found := said(question):
        return found
    if NOW.search(question):
        return Span(LAST, LAST)
    years = [int(match["y"]) for match in BARE.finditer(question)]
    return Span(min(years), max(years)) if years else None


def before(question: str) -> int:
    """The year of "before 2024"; 0 where a question has none."""
    match = UNTIL.search(question)
    return int(match["y"]) if match and bare(match) else 0


def bare(match: re.Match[str]) -> bool:
    """Whether a year itself is the bound, and so lies outside: "before 2024", not "before May 2024"."""
    return bool(STRICTLY.match(match.group())) and not match["gap"].strip()


def agreement(question: str, sentence: str) -> int:
    """+1 where a sentence holds for the years asked about, -1 where it holds for others, 0 where neither."""
    wanted, told = asked(question), said(sentence)
    if wanted is None or told is None:
        return 0
    return 1 if wanted.meets(told) else -1


def without_bounds(question: str) -> str:
    """The question without the years that only bound what it asks about."""
    return UNTIL.sub(" ", question)
