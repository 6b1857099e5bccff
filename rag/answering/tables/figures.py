"""The number that a cell of a table holds: signs, parentheses, percentages, currencies, footnote marks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from rag.answering.vocabulary import SCALES

FOOTNOTE = re.compile(r"(?<=[\d%)])\s*(?:\((?:\d|[a-z])\)|\*+|†|‡|[¹²³⁴⁵⁶⁷⁸⁹])$")
FIGURE = re.compile(
    r"(?P<open>\()?\s*(?P<sign>[-−–+])?\s*(?P<currency>[$€£¥])?\s*(?P<open2>\()?\s*(?P<sign2>[-−–+])?\s*"
    r"(?P<digits>\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\d)|"
    r"\d+(?:[.,'’\u00a0\u202f]\d+)*|[.,]\d+)\s*(?P<close>\))?\s*(?P<unit>%|[$€£¥])?\s*(?P<close2>\))?"
)
NIL = re.compile(r"[$€£¥]?\s*[-−–—](?:\s?[-−–—])*\s*[%$€£¥]?")
POINTED, COMMAED = re.compile(r"\d\.\d{3}(?!\d)"), re.compile(r"\d,\d{3}(?!\d)")
COMMA_LANGUAGES = frozenset(
    re.findall(r"\w\w", "de fr es it pt nl da sv nb no fi pl cs sk sl hr hu ro tr el ru uk bg id vi")
)
POINT_IS_DECIMAL = re.compile(r"\b0\.\d|\d,\d{3}(?:,\d{3})*\.\d|\d{1,3},\d{3},\d{3}|\d\.(?:\d{1,2}|\d{4,})$")
COMMA_IS_DECIMAL = re.compile(r"\b0,\d|\d\.\d{3}(?:\.\d{3})*,\d|\d{1,3}\.\d{3}\.\d{3}|\d,(?:\d{1,2}|\d{4,})$")
SCALE = re.compile(
    r"\bin\s+(?:[a-z.$€£]+\s+){0,3}?(thousand|million|billion|mio|mrd|tausend)|"
    r"[$€£]\s?(m|k|bn)\b|[$€£]['’ ]?(000s?)|[(]\s?(thousand|million|billion)s?\s?[)]|"
    r"[$€£]\s(million|billion)\b|"
    r"(?<=\d\s)(thousand|million|billion)s?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as it stands in a cell, without the scale of the table. `nil`: a dash, which counts as zero.

    `unit`: %, a currency sign, or nothing.
    """

    value: Decimal
    unit: str = ""
    nil: bool = False


def figure(cell: str, *, decimal: str = ".") -> Figure | None:
    """The number of a cell; None for words, ranges and blanks. `decimal`: the mark before decimal places.

    Without a mark a number that has one is not read: it may be a thousand times as much.
    """
    text = FOOTNOTE.sub("", cell.strip())
    if NIL.fullmatch(text):
        return Figure(Decimal(0), "%" if "%" in text else "", nil=True)
    match = FIGURE.fullmatch(text)
    if not match:
        return None
    if not decimal and re.search(r"\d[.,]\d", match["digits"]):
        return None
    decimal = decimal or "."
    digits = re.sub(r"[ '’\u00a0\u202f]", "", match["digits"])
    other = "," if decimal == "." else "."
    digits = digits.replace(other, "").replace(decimal, ".")
    if digits.count(".") > 1:
        return None
    signs = [match["sign"], match["sign2"]]
    negative = any(sign and sign != "+" for sign in signs) or bool(match["open"] or match["open2"])
    value = Decimal(digits)
    return Figure(-value if negative else value, match["unit"] or match["currency"] or "")


def decimal_mark(cells: Iterable[str], language: str = "") -> str:
    """The decimal mark of a table, by its cells that can be read in one way only; empty where none tells.

    Where all have three digits behind the one mark, it parts thousands if that is the custom of the language
    (ISO 639-1): 1,204 in English and where no language is known, 1.204 in German.
    """
    point = comma = points = commas = 0
    for cell in cells:
        point += bool(POINT_IS_DECIMAL.search(cell))
        comma += bool(COMMA_IS_DECIMAL.search(cell))
        points += bool(POINTED.search(cell))
        commas += bool(COMMAED.search(cell))
    if point != comma:
        return "," if comma > point else "."
    with_comma = language in COMMA_LANGUAGES
    if point or (commas if with_comma else points):
        return ""
    return "," if with_comma else "."


def scale(text: str) -> str:
    """thousand, million or billion where a text says that its numbers are in them; else nothing."""
    match = SCALE.search(text)
    if not match:
        return ""
    word = next(part for part in match.groups() if part).lower()
    factor = Decimal(1000) if word.startswith("000") else SCALES.get(word, Decimal(1))
    return {3: "thousand", 6: "million", 9: "billion"}.get(len(str(factor)) - 1, "")


def written(value: Decimal) -> str:
    """A number as a reader expects it: thousands apart, at most four digits behind the point."""
    places = 2 if abs(value) >= 1 else 4
    rounded = value.quantize(Decimal(1).scaleb(-places)).normalize()
    return f"{rounded:,f}"
