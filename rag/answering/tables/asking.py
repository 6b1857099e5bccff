"""What a question asks of a table, by rules: which operation, on what, at which times. English."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path

from rag.answering.tables.figures import FIGURE, figure
from rag.answering.tables.periods import Period, is_range, periods, without


class Operation(Enum):
    """What is done with the cells."""

    LOOKUP = "lookup"
    CHANGE = "change"  # the later less the earlier, or the first less the second
    PERCENT_CHANGE = "percentage change"
    SUM = "sum"
    AVERAGE = "average"
    RATIO = "ratio"
    PERCENTAGE = "percentage"
    COUNT = "count"  # of times at which a figure is above or below a limit
    WHEN = "when"  # the times at which it is
    HIGHEST = "highest"  # the time at which it is largest
    LOWEST = "lowest"


@dataclass(frozen=True, slots=True)
class Ask:
    """An operation on operands. `over`: what their sum or figure is divided by.

    `falling`: the earlier less the later. `apart`: a difference, which needs two things named.
    `limit`: of COUNT and WHEN, with `above` telling the side. `every`: of all times that the table has.
    """

    operation: Operation
    operands: tuple[str, ...]
    periods: tuple[Period, ...]
    over: str = ""
    limit: Decimal | None = None
    scale: str = ""
    above: bool = True
    every: bool = False
    falling: bool = False
    apart: bool = False


def patterns() -> tuple[tuple[tuple[Operation, re.Pattern[str]], ...], re.Pattern[str]]:
    """The patterns of asking.toml, whole, and the words for a change."""
    table = tomllib.loads(Path(__file__).with_name("asking.toml").read_text("utf-8"))
    parts = {**table["parts"], "FIGURE": FIGURE.pattern.replace("?P<", "?P<f_")}

    def whole(pattern: str) -> str:
        filled = re.sub(r"<([A-Z]+)>", lambda name: parts[name[1]], pattern)
        return pattern if filled == pattern else whole(filled)

    found = [
        (Operation[name], re.compile(whole(pattern), re.IGNORECASE)) for name, pattern in table["patterns"]
    ]
    return tuple(found), re.compile(whole(parts["CHANGING"]), re.IGNORECASE)


PATTERNS, CHANGING = patterns()
LOOKUP = re.compile(
    r"^(?:what|how (?:much|many|high|large|low|long))\s+(?:is|was|were|are|did|does)?\s*(?P<a>.+)",
    re.IGNORECASE,
)
SCALE_WORD = re.compile(r"^(\w+?)s?$")
MOST_CHARACTERS = 500  # a longer question is no question of one figure
COUNTING = re.compile(
    r"\bhow many\b(?! (?:more|fewer|less|higher|lower)\b| <PERCENT>)".replace("<PERCENT>", r"per ?cent"),
    re.IGNORECASE,
)
IN_PERCENT = re.compile(
    r"\b(?:in|en) (?:percent|per cent|prozent|pourcentage|porcentaje|%)\W*$", re.IGNORECASE
)
FALLS = ("decreas", "fall", "drop", "declin")


def understand(question: str) -> Ask | None:
    """The operation that a question asks for; None where no rule fits."""
    text = " ".join(question.strip().rstrip("?.! ").split())
    if len(text) > MOST_CHARACTERS:
        return None
    times = periods(text)
    counting = COUNTING.search(text)
    for operation, pattern in PATTERNS:
        if counting and operation is not Operation.COUNT:
            continue
        if match := pattern.search(text):
            if operation is Operation.CHANGE and IN_PERCENT.search(text):
                operation = Operation.PERCENT_CHANGE
            return ask(operation, match, text, times)
    if not counting and (match := LOOKUP.match(text)):
        return Ask(Operation.LOOKUP, (match["a"],), tuple(times))
    return None


def ask(operation: Operation, match: re.Match[str], text: str, times: list[Period]) -> Ask:
    """What the parts of a pattern name, in the operation's terms."""
    parts = {name: value or "" for name, value in match.groupdict().items()}
    operands = [parts["a"], parts.get("b", "")]
    every = is_range(text) or not times
    limit = figure(parts["limit"]) if parts.get("limit") else None
    if operation in (Operation.CHANGE, Operation.PERCENT_CHANGE, Operation.SUM, Operation.AVERAGE):
        # "change in 2019 from 2018", "the average for 2018 of X": what stands before is part of it too.
        operands = [operand for operand in operands if content_left(operand)] or [text]
        operands = [CHANGING.sub(" ", operand) for operand in operands]
    falling = parts.get("way", "").lower().startswith(FALLS)
    if more := parts.get("more", ""):
        fewer = more.lower() in ("less", "fewer", "lower", "smaller")
        falling = len(times) == 2 and (times[0] < times[1]) is not fewer
        operands = operands[::-1] if fewer else operands
    return Ask(
        operation,
        tuple(operand for operand in operands if operand),
        tuple(times),
        over=parts.get("o", ""),
        limit=limit.value if limit else None,
        scale=SCALE_WORD.sub(r"\1", parts.get("scale", "").lower()),
        above=not parts.get("below"),
        every=every,
        falling=falling,
        apart=bool(parts.get("apart") or more) or "difference" in match.group().lower(),
    )


def content_left(operand: str) -> bool:
    """Whether something beside times and small words is left."""
    words = re.findall(r"[^\W\d_]+", without(operand))
    return any(
        word.lower()
        not in {"the", "and", "in", "of", "to", "from", "between", "year", "years", "fiscal", "compared"}
        for word in words
    )
