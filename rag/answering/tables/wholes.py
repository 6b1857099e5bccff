"""What a question asks of many rows of a table at once, by rules: English, German, French, Spanish."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rag.answering.tables.asking import MOST_CHARACTERS, Operation
from rag.answering.tables.figures import FIGURE, figure
from rag.answering.tables.matching import root, words
from rag.answering.tables.periods import Period, is_range, periods
from rag.answering.vocabulary import NUMBERS, SCALES, UNITS

TABLE = tomllib.loads(Path(__file__).with_name("wholes.toml").read_text("utf-8"))
OPERATIONS = [
    (Operation[name], re.compile(pattern, re.IGNORECASE)) for name, pattern in TABLE["operations"].items()
]
PRICED = [
    (Operation[name.upper()], re.compile(rf"\b(?:{TABLE['priced'][name]})\b", re.IGNORECASE))
    for name in ("highest", "lowest")
]
PRICE = re.compile(TABLE["priced"]["columns"])
UNIT_WORDS = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
BOUNDS = [
    (
        side,
        re.compile(rf"{TABLE['bounds'][side]}\s+(?P<limit>{FIGURE.pattern})\s*(?:{UNIT_WORDS})?(?!\w)", re.I),
    )
    for side in ("above", "below")
]
SPANS = {name: re.compile(rf"^(?:{pattern})$", re.IGNORECASE) for name, pattern in TABLE["spans"].items()}
PER = re.compile(
    rf"\b(?:{TABLE['words']['per']})\s+(?P<span>{'|'.join(TABLE['spans'].values())})\b", re.IGNORECASE
)
WHICH = re.compile(rf"^{TABLE['words']['which']}\s+(?P<first>\w+)(?:\s+(?P<second>\w+))?", re.IGNORECASE)
BEING = re.compile(
    r"^(?:is|are|was|were|the|ist|sind|war|waren|der|die|das|est|la|le|es|fue|el|son)$", re.IGNORECASE
)
SMALL = frozenset(root(word) for word in TABLE["words"]["small"].split())
SUMMARY = re.compile(TABLE["words"]["summary"], re.IGNORECASE)
PLACES = {word: int(n) for n, names in TABLE["words"]["ordinals"].items() for word in names.split()}
FEW = re.compile(rf"\b(?:top\s+)?(?P<few>[2-9]|10|{'|'.join(map(re.escape, NUMBERS))})\s*$", re.IGNORECASE)
SCALED = re.compile(rf"\s*(?:{'|'.join(SCALES)})\b", re.IGNORECASE)
COMPARING = re.compile(TABLE["words"]["comparing"], re.IGNORECASE)
COSTING = re.compile(r"\b(?:costs?|kosten|kostet|coûten?t?|cuestan?)\b", re.IGNORECASE)
NEAR_THE_START = 25  # characters: "In how many"
RANKING = re.compile(r"^(?:rank|sort|order|list)\b.+\bby\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Whole:
    """An operation on the rows that `wanted` and `periods` leave; `kind`: what the rows must be, in roots.

    `span`: year, quarter, month, day or week, where the rows must be those. `nth`: 2 asks for the second
    highest; `few`: for so many of them, 0 for all in order. `limit`: rows above or below it are counted.
    `priced`: a column of prices is meant.
    """

    operation: Operation
    wanted: frozenset[str]
    periods: tuple[Period, ...] = ()
    ranged: bool = False
    kind: tuple[str, ...] = ()
    span: str = ""
    nth: int = 1
    few: int = 1
    limit: Decimal | None = None
    above: bool = True
    priced: bool = False


def roots(text: str) -> frozenset[str]:
    """The roots of the telling words of a text."""
    return words(text) - SMALL


def whole(question: str) -> Whole | None:
    """What a question asks of many rows; None where no word of the list asks for that, or one for more."""
    text = " ".join(question.strip().rstrip("?.! ").lstrip("¿¡").split())
    if len(text) > MOST_CHARACTERS:
        return None
    times, ranged = tuple(periods(text)), is_range(text)
    text, limit, above = bounded(text)
    operation, before, text, priced = operated(text)
    if operation is None or (operation in (Operation.SUM, Operation.AVERAGE) and COMPARING.search(text)):
        return None
    nth, few, text = placed(before, text, operation)
    span, text = per(text)
    if costing := COSTING.search(text):
        text, priced = cut(text, costing), True
    kind, text = kind_of(text, operation)
    if len(kind) == 1 and (spanned := span_of(kind[0])):
        span, kind = spanned, ()
    return Whole(
        operation,
        roots(text) - {root(word) for word in kind if operation is not Operation.COUNT},
        times,
        ranged,
        tuple(root(word) for word in kind if roots(word)),
        span,
        nth,
        few,
        limit,
        above,
        priced,
    )


def bounded(text: str) -> tuple[str, Decimal | None, bool]:
    """A limit such as "more than 30 dollars", cut out."""
    for side, pattern in BOUNDS:
        if match := pattern.search(text):
            limit = figure(match["limit"])
            if limit and not periods(match["limit"]) and not SCALED.match(text[match.end() :]):
                return f"{text[: match.start()]} {text[match.end() :]}", limit.value, side == "above"
    return text, None, True


def operated(text: str) -> tuple[Operation | None, str, str, bool]:
    """The operation, the words in front of those that name it, the question without those, and if priced."""
    for operation, pattern in PRICED:
        if match := pattern.search(text):
            return operation, text[: match.start()], cut(text, match), True
    if RANKING.search(text):
        return Operation.HIGHEST, "", f"0 {text}", False
    counting = dict(OPERATIONS)[Operation.COUNT].search(text[:NEAR_THE_START])
    for operation, pattern in OPERATIONS:
        if counting and operation in (Operation.HIGHEST, Operation.LOWEST):
            continue
        if match := pattern.search(text):
            rest = cut(text, match)
            if counting and operation is Operation.SUM:
                rest = cut(rest, counting)
            return operation, text[: match.start()], rest, False
    return None, "", text, False


def cut(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}".strip()


def placed(before: str, text: str, operation: Operation) -> tuple[int, int, str]:
    """Which of the order is asked for, and how many: "the second highest", "the three largest"."""
    if operation not in (Operation.HIGHEST, Operation.LOWEST):
        return 1, 1, text
    if text.startswith("0 "):
        return 1, 0, text[2:]
    last = before.split()[-1].lower() if before.split() else ""
    if last in PLACES:
        return PLACES[last], 1, re.sub(rf"\b{last}\b", " ", text, flags=re.IGNORECASE)
    if few := FEW.search(before):
        number = NUMBERS.get(few["few"].lower())
        text = re.sub(rf"\b{re.escape(few['few'])}\b", " ", text)
        return 1, int(number if number is not None else few["few"]), text
    return 1, 1, text


def per(text: str) -> tuple[str, str]:
    """The time that a mean is taken over, as "per month" or "monthly" say, cut out."""
    if match := PER.search(text):
        return span_of(match["span"]), cut(text, match)
    for word in text.split():
        if word.lower().endswith(("ly", "lich", "liche", "lichen", "elle", "uel", "ual", "ral")) and span_of(
            word
        ):
            return span_of(word), text.replace(word, " ")
    return "", text


def span_of(word: str) -> str:
    return next((name for name, pattern in SPANS.items() if pattern.match(word)), "")


def kind_of(text: str, operation: Operation) -> tuple[tuple[str, ...], str]:
    """What is to be chosen or counted, one or two words, cut out of the question."""
    if operation is Operation.COUNT:
        found = re.match(r"(?:in\s+)?(?P<first>\w+)(?:\s+(?P<second>\w+))?", text)
    else:
        found = WHICH.match(text)
        if found and BEING.match(found["first"]):
            return (), WHICH.sub(" ", text, count=1) + f" {found['first']} {found['second'] or ''}"
    if not found:
        return (), text
    rest = text[found.end("first") :]
    first = found["first"]
    if span_of(first):
        return (first,), rest
    return tuple(word for word in (first, found["second"]) if word), rest
