"""What each bar of confidence would refuse and decline, so that an operator can choose the one in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rag.evaluation.record import Record
from rag.evaluation.statistics import auc

REFUSED = (0.01, 0.04, 0.1, 0.2)  # shares of the answerable questions that may be lost


@dataclass(frozen=True, slots=True)
class Bar:
    """Declining what is less certain than `below`: the shares of the answerable questions that would be lost,
    and of the unanswerable ones that would be declined."""

    below: float
    refused: float
    declined: float


@dataclass(frozen=True, slots=True)
class Declining:
    """How well confidence tells questions that the documents answer from others.

    `auc`: the chance that an answerable question has the higher one.
    """

    answerable: int
    unanswerable: int
    auc: float
    bars: tuple[Bar, ...]


def declining(record: Record) -> Declining | None:
    """The choice of bars; None where the record has not both kinds of questions with a confidence."""
    known = [each for each in record.asked if each.confidence is not None]
    yes = sorted(float(each.confidence or 0) for each in known if "answered" in each.scores)
    no = sorted(float(each.confidence or 0) for each in known if "declined" in each.scores)
    if not yes or not no:
        return None
    return Declining(len(yes), len(no), auc(yes, no), tuple(bars(yes, no)))


def bars(yes: list[float], no: list[float]) -> Iterator[Bar]:
    """The highest bar that loses at most each share of REFUSED; each one once."""
    last = -1.0
    for share in REFUSED:
        # Two digits, rounded down: what a setting will say.
        below = int(yes[int(share * len(yes))] * 100) / 100
        if below > last:
            last = below
            yield Bar(below, under(yes, below), under(no, below))


def under(values: list[float], below: float) -> float:
    return sum(value < below for value in values) / len(values)
