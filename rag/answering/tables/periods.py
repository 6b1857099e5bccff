"""When a figure holds: years, quarters and dates in headers, labels and questions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.answering.vocabulary import MONTHS as KNOWN

# Names of months that the vocabulary of answering lacks, as tables have them.
FOREIGN = (
    "janvier enero", "février febrero", "mars marzo", "avril abril", "mayo", "juin junio",
    "juillet julio", "août agosto", "septembre septiembre", "octobre octubre", "novembre noviembre",
    "décembre diciembre",
)  # fmt: skip
MONTHS = KNOWN | {name: n for n, names in enumerate(FOREIGN, start=1) for name in names.split()}
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
# Without day and year only a whole name tells a month: "sep" may be anything, and "may" a verb.
WHOLE_MONTH = "|".join(sorted((name for name in MONTHS if len(name) > 3 or name == "mai"), key=len)[::-1])
PART = re.compile(r"[^\W\d_]+|\d+")
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
# Only in front of the word for a quarter.
FOREIGN_ORDINALS = {
    name: n
    for n, names in enumerate(
        (
            "erstes ersten erste premier primer primero",
            "zweites zweiten zweite deuxième second segundo",
            "drittes dritten dritte troisième tercer tercero",
            "viertes vierten vierte quatrième cuarto",
        ),
        start=1,
    )
    for name in names.split()
}
ALL_ORDINALS = FOREIGN_ORDINALS | ORDINALS
PERIOD = re.compile(
    rf"\b(?P<m1>{MONTH})\b\.?\s*(?P<d1>\d{{1,2}})\b(?!\d)(?:\s*,?\s*(?P<y1>(?:19|20)\d\d)\b)?|"
    rf"\b(?P<d2>\d{{1,2}})\.?\s+(?P<m2>{MONTH})\b\.?(?:\s*,?\s*(?P<y2>(?:19|20)\d\d)\b)?|"
    rf"\b(?P<m3>{MONTH})\b\.?[-,\s]+(?P<y3>(?:19|20)\d\d)\b|"
    rf"\b(?P<m6>{WHOLE_MONTH}|(?-i:May))\b|"
    r"\bQ(?P<q4>[1-4])\b(?:\s*(?:of\s+)?(?:fiscal\s+|FY\s*)?(?P<y4>(?:19|20)\d\d)\b)?|"
    r"\b(?P<q8>[1-4])(?:\.|er|[eè]me|e)?\s+(?:Quartal|trimestre)\b(?:\s*(?P<y8>(?:19|20)\d\d)\b)?|"
    r"\b(?P<o5>first|second|third|fourth|[1-4](?:st|nd|rd|th))(?:\s+(?:fiscal\s+)?quarter\b)?"
    r"(?:,?\s+(?:of\s+|in\s+)?(?:fiscal\s+)?(?:year\s+)?(?P<y5>(?:19|20)\d\d)\b)?|"
    rf"\b(?P<o9>{'|'.join(FOREIGN_ORDINALS)})\s+(?:Quartal|trimestre)s?\b(?:\s*(?:de\s+)?(?P<y9>(?:19|20)\d\d)\b)?|"
    r"\bFY\s?['’]?(?P<s6>\d\d)\b(?!\d)|"
    r"(?<![\d,.$€£])(?P<y7>(?:19|20)\d\d)(?:/\d\d)?(?![\d%]|[,.]\d)",
    re.IGNORECASE,
)
# "from March to June": the times themselves cut out.
ENDS = re.compile(
    r"\b(?:from|between|von|vom|zwischen|de|du|entre|desde|del?)\s+\0\s*(?:to|until|till|through|and|bis|und|à|au|et|al?|hasta|y)\s+\0",
    re.IGNORECASE,
)
RANGE = re.compile(r"\b((?:19|20)\d\d)\s*(?:[-–—]|to|through)\s*((?:19|20)\d\d)\b")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """As much of a time as is written; 0 where a part is not."""

    year: int = 0
    quarter: int = 0
    month: int = 0
    day: int = 0

    def agrees(self, other: Period) -> bool:
        """Whether the other may be this time: no part differs, and it names the largest part of this."""
        pairs = list(zip(self.parts, other.parts, strict=True))
        largest = next(n for n, part in enumerate(self.parts) if part)
        return all(not (a and b) or a == b for a, b in pairs) and other.parts[largest] != 0

    def joined(self, other: Period) -> Period | None:
        """What both together name; None when they differ."""
        pairs = list(zip(self.parts, other.parts, strict=True))
        return None if any(a and b and a != b for a, b in pairs) else Period(*(a or b for a, b in pairs))

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return self.year, self.quarter, self.month, self.day


def periods(text: str) -> list[Period]:
    """The times that a text names in order, each once. A date without a year takes that of the next one."""
    if month := MONTHS.get(text.strip(" .").lower()):
        return [Period(0, 0, month)]  # as the name of a row, also "Jan"
    found: list[Period] = []
    if not may_name(text):
        return found
    for match in PERIOD.finditer(text):
        period = read(match)
        if match["o5"] and "quarter" not in match.group().lower() and "quarter" not in text.lower():
            continue
        found.append(period)
    following = 0
    for n in range(len(found) - 1, -1, -1):
        if not found[n].year and following and (found[n].month or found[n].quarter):
            found[n] = Period(following, *found[n].parts[1:])
        following = found[n].year or following
    return list(dict.fromkeys(found))


def read(match: re.Match[str]) -> Period:
    parts = {name[0]: value for name, value in match.groupdict().items() if value}
    year = int(parts.get("y", 0)) or (2000 + int(parts["s"]) if "s" in parts else 0)
    quarter = int(parts.get("q", 0)) or ALL_ORDINALS.get(parts.get("o", "").lower(), 0)
    month = MONTHS[parts["m"].lower()] if "m" in parts else 0
    return Period(year, quarter, month, int(parts.get("d", 0)))


def is_range(question: str) -> bool:
    """Whether a question names a run of years by its ends."""
    if RANGE.search(question):
        return True
    ends = ENDS.search(PERIOD.sub("\0", question))
    return ends is not None and len(periods(question)) == 2


def without(text: str) -> str:
    """The text with its times cut out."""
    return PERIOD.sub(" ", text) if may_name(text) else text


def may_name(text: str) -> bool:
    """Whether a text holds a digit or a word of times: most names of rows do not, and the rest is slow."""
    return any(
        word.isdecimal() or word in MONTHS or word in ALL_ORDINALS for word in PART.findall(text.lower())
    )


def only_period(text: str) -> bool:
    """Whether a cell holds a time and next to nothing else, as the head of a column does."""
    return bool(periods(text)) and len(re.findall(r"[^\W\d_]+", without(text))) <= 4
