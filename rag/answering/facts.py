"""What can be checked to the letter in a text: numbers, units, dates, names, codes, negation, direction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from rag.answering.numerals import clocked, numerals
from rag.answering.vocabulary import FUNCTION_WORDS, MONTHS, OPPOSITES, SCALES, UNITS, Pairs

MONTH = "|".join(sorted((name for name in MONTHS if name != "may"), key=len, reverse=True)) + "|(?-i:May)"
DATE = re.compile(
    rf"\b(?P<y1>\d{{4}})-(?P<n1>\d\d)-(?P<d1>\d\d)\b|\b(?P<d2>\d{{1,2}})\.(?P<n2>\d{{1,2}})\.(?P<y2>\d{{4}})\b|"
    rf"\b(?P<d3>\d{{1,2}})(?:st|nd|rd|th|\.)?(?:\s+of)?\s+(?P<m3>{MONTH})\b\.?(?:,?\s+(?P<y3>\d{{4}})\b)?|"
    rf"\b(?P<m4>{MONTH})\b\.?\s+(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)(?:,?\s+(?P<y4>\d{{4}})\b)?|"
    rf"\b(?P<m5>{MONTH})\b\.?,?\s+(?P<y5>\d{{4}})\b",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?P<before>[$€£])?\s?(?<![\w.,])(?P<minus>[-−–])?(?P<digits>\d+(?:[.,'’\u00a0\u202f]\d+)*)"
)
AFTER = re.compile(r"\s*-?\s*(?:(%|€|\$|£|°\s?[CF])|([^\W\d_]+)(?:[\s-]+([^\W\d_]+))?)", re.IGNORECASE)
IDENTIFIER = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[^\W\d_])\w+(?:-\w+)*")
NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|unable|hardly|"
    r"nicht|kein\w*|nie|niemals|ohne|weder)\b|n['’]t\b",
    re.IGNORECASE,
)
# Museum of Riding is one name, and not in "Museum of Hunting and Riding".
LINKS = frozenset({"of", "de", "du", "la", "von", "van", "der"})
NAME = re.compile(r"[^\W\d_][\w'’]*(?:-[^\W\d_]\w*)*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number: `values` holds each way to read it (1.000 is a thousand or one), `unit` a unit or nothing."""

    written: str
    values: frozenset[Decimal]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Date:
    """As much of a date as is written."""

    year: int | None
    month: int
    day: int | None

    def within(self, other: Date) -> bool:
        """Whether everything this says, the other says too."""
        mine, theirs = (self.year, self.month, self.day), (other.year, other.month, other.day)
        return all(part is None or part == known for part, known in zip(mine, theirs, strict=True))


def dates(text: str) -> list[Date]:
    """The dates of a text that name a month."""
    return [date_of(match) for match in DATE.finditer(text)]


def date_of(match: re.Match[str]) -> Date:
    parts = {name[0]: value for name, value in match.groupdict().items() if value}
    month = int(parts["n"]) if "n" in parts else MONTHS[parts["m"].lower()]
    return Date(int(parts["y"]) if "y" in parts else None, month, int(parts["d"]) if "d" in parts else None)


def quantities(text: str, *, with_dates: bool = False) -> list[Quantity]:
    """The numbers of a text, in digits or words, with units; those inside dates only when asked for."""
    text = clocked(text if with_dates else DATE.sub(" ; ", text))
    found = [quantity_of(match, text) for match in NUMBER.finditer(text)]
    return found + [
        scaled(text[each.start : each.end], frozenset({each.value}), text[each.end :], "")
        for each in numerals(text)
    ]


def values(text: str) -> frozenset[Decimal]:
    """All numbers of a text, those inside dates too."""
    return frozenset(value for each in quantities(text, with_dates=True) for value in each.values)


def unread_digits(text: str) -> list[str]:
    """The digits of a text that are no number by themselves, as in X.25."""
    return re.findall(r"\d+", NUMBER.sub(" ", DATE.sub(" ", IDENTIFIER.sub(" ", text))))


def quantity_of(match: re.Match[str], text: str) -> Quantity:
    sign = -1 if match["minus"] and not text[: match.start()].rstrip()[-1:].isdigit() else 1
    values = frozenset(sign * value for value in readings(match["digits"]))
    return scaled(match["digits"], values, text[match.end() :], match["before"] or "")


def scaled(written: str, values: frozenset[Decimal], following: str, before: str) -> Quantity:
    """Apply a "million" that follows, and take the first unit among the next two words."""
    unit = UNITS.get(before, "")
    after = AFTER.match(following)
    words = [word.lower().replace(" ", "") for word in after.groups() if word] if after else []
    if words and words[0] in SCALES and not (words[0] == "m" and following[:1] == " "):
        values = frozenset(value * SCALES[words[0]] for value in values)
        after = AFTER.match(following[after.end(1 if after[1] else 2) :]) if after else None
        words = [word.lower() for word in after.groups() if word] if after else []
    return Quantity(written, values, unit or next((UNITS[word] for word in words if word in UNITS), ""))


def readings(digits: str) -> set[Decimal]:
    """Every number that the digits may mean: 1,000 and 1.000 are ambiguous, 1,234.5 is not."""
    plain = re.sub(r"['’\u00a0\u202f]", "", digits)
    found: set[Decimal] = set()
    for thousands, point in ((",", "."), (".", ",")):
        whole, *rest = plain.split(point)
        if len(rest) > 1 or any(thousands in part for part in rest):
            continue
        groups = whole.split(thousands)
        if len(groups) == 1 or (len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
            found.add(Decimal("".join(groups) + ("." + rest[0] if rest else "")))
    # Neither reading holds for 1.2.3 or 10,11: a version or a list, compared piece by piece.
    return found or {Decimal(part) for part in re.split(r"[.,]", plain) if part}


def names(text: str) -> list[tuple[str, ...]]:
    """Runs of capitalised words, lower case, with an "of" inside; function words at a start are no names."""
    runs: list[tuple[str, ...]] = []
    run: list[str] = []
    links: list[str] = []
    last = 0
    for match in NAME.finditer(text):
        word = match.group()
        named = word[0].isupper() and word.lower() not in FUNCTION_WORDS and word.lower() not in MONTHS
        adjoins = not text[last : match.start()].strip(" .")
        if run and adjoins and (word in LINKS or (links and word == "the")):
            links.append(word)
        elif run and adjoins and named:
            run += links
            links = []
        elif run:
            runs.append(tuple(run))
            run, links = [], []
        if named:
            run.append(re.sub(r"['’]s?$", "", word.lower()))
        last = match.end()
    return [*runs, tuple(run)] if run else runs


def identifiers(text: str) -> list[str]:
    """Words that mix letters and digits: part numbers, codes, versions; not 3rd, 1990s or 20-year."""
    plain = re.compile(r"\d+-?[^\W\d_]{1,3}|[^\W\d_A-Z]+-\d+s?|\d+-[^\W\d_A-Z]+")
    return [word.lower() for word in IDENTIFIER.findall(text) if not plain.fullmatch(word)]


def negated(text: str) -> bool:
    """Whether a text denies something."""
    return bool(NEGATIONS.search(text))


def contradictions(claim: str, source: str, *, pairs: Pairs = OPPOSITES) -> list[str]:
    """Words of the claim whose opposite, and not themselves, stands in the source."""
    said, known = ({word.lower() for word in re.findall(r"[^\W\d_]+", text)} for text in (claim, source))
    found: list[str] = []
    for left, right in pairs:
        for side, other in ((left, right), (right, left)):
            if said & side and not said & other and known & other and not known & side:
                found += sorted(said & side)
    return found
