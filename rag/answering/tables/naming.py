"""What a question asks of rows or times that it names itself, by rules: English, German, French, Spanish."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from rag.answering.tables.asking import MOST_CHARACTERS, Operation
from rag.answering.tables.matching import root
from rag.answering.tables.periods import Period, periods
from rag.answering.tables.wholes import roots

TABLE = tomllib.loads(Path(__file__).with_name("naming.toml").read_text("utf-8"))
SHARES, MORE = (
    [re.compile(each.replace("<VERB>", TABLE["verb"]), re.IGNORECASE) for each in TABLE[name]]
    for name in ("shares", "more")
)
WAY, APART, AVERAGE, SUM, COUNTING = (
    re.compile(TABLE[name], re.IGNORECASE) for name in ("way", "apart", "average", "sum", "counting")
)
HALVES = {int(n): re.compile(pattern, re.IGNORECASE) for n, pattern in TABLE["halves"].items()}
REFUSED, FLOWS, LEVELS, RATES = (
    re.compile(TABLE["words"][name]) for name in ("refused", "flows", "levels", "rates")
)
SMALL = frozenset(root(word) for word in TABLE["words"]["small"].split())
AND = frozenset(TABLE["words"]["and"].split())
LINKING = frozenset(TABLE["words"]["linking"].split())


@dataclass(frozen=True, slots=True)
class Naming:
    """An operation on what `phrases` name, in the order of the question, without the words for it.

    Two phrases: the first less the second, or the share of the first in the second. `times`: those named;
    `half`: 1 or 2 for half a year. `said`: whether a word asks for the sum. `signed`: a difference whose
    sign the question tells. `counting`: it asks how many.
    """

    operation: Operation
    phrases: tuple[str, ...]
    times: tuple[Period, ...] = ()
    half: int = 0
    said: bool = False
    signed: bool = False
    counting: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.phrases)


def naming(question: str) -> Naming | None:
    """What a question asks of things that it names; None where no rule fits."""
    text = " ".join(question.strip().rstrip("?.! ").lstrip("¿¡").split())
    if len(text) > MOST_CHARACTERS:
        return None
    half, text = halved(text)
    found = understood(text)
    if found is None or REFUSED.search(found.text):
        return None
    times = tuple(periods(text))
    if any(each.day for each in times):
        return None
    if not (half or times or found.said or found.counting or found.operation is not Operation.SUM):
        return None
    return replace(found, times=times, half=half)


def understood(text: str) -> Naming | None:
    """The operation and its phrases; a sum where no word names another."""
    for pattern in SHARES:
        if match := pattern.search(text):
            return Naming(Operation.PERCENTAGE, (match["part"], match["whole"]))
    for pattern in MORE:
        if (match := pattern.search(text)) and (way := WAY.search(match["first"])):
            return compared(match, way)
    if match := APART.search(text):
        return Naming(Operation.CHANGE, (cut(text, match),))
    counting = bool(COUNTING.search(text))
    if match := AVERAGE.search(text):
        return Naming(Operation.AVERAGE, (cut(text, match),), said=True)
    if match := SUM.search(text):
        return Naming(Operation.SUM, (cut(text, match),), said=True, counting=counting)
    return Naming(Operation.SUM, (text,), counting=counting)


def compared(match: re.Match[str], way: re.Match[str]) -> Naming:
    """The first thing less the second, or the other way round: "how much cheaper is A than B"."""
    # "Heavier" tells what is compared, "more" does not.
    kept = bool(way["upward"] or way["downward"])
    first = match["first"] if kept else cut(match["first"], way)
    both = (first, match["second"])
    down = way["down"] or way["downward"]
    return Naming(Operation.CHANGE, both[::-1] if down else both, signed=True)


def halved(text: str) -> tuple[int, str]:
    """The half of a year that a question names, cut out; 0 for none."""
    for half, pattern in HALVES.items():
        if match := pattern.search(text):
            return half, cut(text, match)
    return 0, text


def cut(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}".strip()


def telling(text: str) -> frozenset[str]:
    """The roots of a text that a table has to account for."""
    return roots(text) - SMALL
