"""One evaluation as it is kept and compared: what was measured of what, question by question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import BadRequest
from rag.evaluation.statistics import Interval, interval

FORM = 1
DECLINED = ("not_found", "clarify")  # outcomes that assert nothing
EXCERPT = 600  # characters of a passage that a record keeps


@dataclass(frozen=True, slots=True)
class Kind:
    """What a number is: how it is called, its unit, whether more is better, and whether it may fail a run.

    Times and costs are of a machine and of the hour, so they are shown and never judged.
    """

    label: str
    unit: str = ""
    more_is_better: bool = True
    judged: bool = True


KINDS = {
    "ndcg@10": Kind("nDCG@10"),
    "recall@10": Kind("recall@10"),
    "recall@100": Kind("recall@100"),
    "all@10": Kind("all relevant among the first 10"),
    "mrr": Kind("mean reciprocal rank"),
    "hit@1": Kind("hit@1"),
    "right": Kind("right, as the question is scored"),
    "em": Kind("exact match"),
    "f1": Kind("F1"),
    "contains": Kind("gold answer in the answer or its quotes"),
    "numeric": Kind("right number, of numeric questions"),
    "recall": Kind("words of the gold answer that are said, of long ones"),
    "answered": Kind("answered, of answerable questions"),
    "declined": Kind("declined, of unanswerable questions"),
    "rightly declined": Kind("unanswerable, of declined questions"),
    "grounded": Kind("sentences that the literal checks support"),
    "citation precision": Kind("citations of a relevant passage"),
    "citation recall": Kind("relevant passages that are cited"),
    "cites the answer": Kind("a cited passage holds the gold answer"),
    "seconds": Kind("seconds", "s", more_is_better=False, judged=False),
    "first word": Kind("seconds to the first word", "s", more_is_better=False, judged=False),
    "cost": Kind("cost", "", more_is_better=False, judged=False),
    "tokens": Kind("tokens", "", more_is_better=False, judged=False),
    "from memory": Kind("answers that had been given before", more_is_better=False, judged=False),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as a report shows it."""

    id: str
    title: str
    text: str
    score: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: its scores by the names of KINDS, and what was found and said.

    `confidence` in [0, 1] is what the system said of its answer, `model` the one of its tier, if it has one.
    """

    id: str
    question: str
    scores: dict[str, float]
    gold: tuple[str, ...] = ()
    answer: str = ""
    outcome: str = ""
    confidence: float | None = None
    model: str = ""
    passages: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A whole evaluation. `bound` names everything that its numbers depend on, by digest."""

    kind: str
    dataset: str
    bound: dict[str, str]
    asked: tuple[Asked, ...]
    seed: int = 1
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    currency: str = ""

    def label(self, name: str) -> str:
        """How a score is called, with its unit."""
        kind = KINDS[name]
        unit = kind.unit or (self.currency if name == "cost" else "")
        return f"{kind.label}, {unit}" if unit and unit not in kind.label else kind.label

    def values(self, name: str) -> list[float]:
        """A score of every question that has it."""
        return [each.scores[name] for each in self.asked if name in each.scores]

    def measures(self) -> dict[str, Interval]:
        """The mean of every score with its 95 % interval."""
        return {name: interval(found, self.seed) for name in KINDS if (found := self.values(name))}

    def save(self, file: Path) -> None:
        """Write it as JSON. Raises BadRequest when it cannot be written."""
        means = {name: asdict(found) for name, found in self.measures().items()}
        told = {"form": FORM, **asdict(self), "measures": means}
        write(file, json.dumps(told, ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, file: Path) -> Record:
        """The record in a file. Raises BadRequest when it holds none."""
        try:
            told = json.loads(file.read_text("utf-8"))
            if told.pop("form") != FORM:
                raise ValueError("it was written by another version")
            told.pop("measures")
            asked = tuple(_asked(each) for each in told.pop("asked"))
            return cls(asked=asked, **told)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"{file} is no record of `rag eval --out`: {error}") from None


def _asked(told: dict[str, Any]) -> Asked:
    passages = tuple(Shown(**each) for each in told.pop("passages"))
    return Asked(passages=passages, gold=tuple(told.pop("gold")), **told)


def write(file: Path, text: str) -> None:
    """Write a report. Raises BadRequest that names the file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        raise BadRequest(f"{file} cannot be written: {error.strerror}") from None


def quantile(values: Sequence[float], part: float) -> float:
    """A quantile of what was measured."""
    return float(np.quantile(values, part))
