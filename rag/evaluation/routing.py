"""How well questions are told apart, and what quality a number of calls of the dearer tier buys.

A line of the file is one of: {"text", "label"} with a kind of question; {"text", "weak_correct",
"strong_correct"}; or a recorded decision with what became of it, {"signals": {...}, "outcomes": {TIER:
{"quality": 0 to 1, "cost": money}}}.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import BadRequest
from rag.routing.regression import Matrix, fit
from rag.routing.router import NEEDED, NUMBERS
from rag.routing.signals import QuestionKind, Signals, features

ENOUGH = "enough"  # the label of questions that the cheaper tier answers as well
Embed = Callable[[Sequence[str]], Matrix]
RIDGE = 0.03
RIDGE_NEED = 0.3


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question and what kind it is. `in_conversation`: another turn came before."""

    text: str
    label: str
    in_conversation: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What a cheap and a dear tier made of one question. Either its text or its signals are known."""

    weak: float
    strong: float
    weak_cost: float = 0.0
    strong_cost: float = 1.0
    text: str = ""
    signals: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        return NEEDED if self.strong > self.weak else ENOUGH


@dataclass(frozen=True, slots=True)
class Score:
    """How well one label is told: counted on questions that the weights had not seen."""

    label: str
    precision: float
    recall: float
    count: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold leads to: the share of questions that go to the dear tier, quality and cost on
    average. `threshold`: the least probability of need that sends a question there."""

    threshold: float
    strong: float
    quality: float
    cost: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Every threshold, from none to all questions for the dear tier, with what pure chance would reach."""

    points: tuple[Point, ...]

    @property
    def weak(self) -> Point:
        return self.points[0]

    @property
    def strong(self) -> Point:
        return self.points[-1]

    def by_chance(self, strong: float) -> float:
        """The quality if that share of the questions were drawn."""
        return self.weak.quality + strong * (self.strong.quality - self.weak.quality)

    def cheapest(self, quality: float) -> Point:
        """The fewest calls with that share of the strong tier's quality."""
        wanted = quality * self.strong.quality - 1e-12
        return next((point for point in self.points if point.quality >= wanted), self.strong)

    def best(self, cost: float) -> Point:
        """The best quality for at most that cost per question. Raises BadRequest when none is that cheap."""
        paid = [point for point in self.points if point.cost <= cost]
        if not paid:
            raise BadRequest(f"--cost {cost:g}: the cheap tier alone costs {self.weak.cost:g} per question")
        return max(paid, key=lambda point: (point.quality, -point.cost))


def read(file: Path, *, weak: str = "small", strong: str = "large") -> list[Labelled] | list[Compared]:
    """Every line, all of one form. Raises BadRequest that names file and line."""
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}") from None
    found: list[Any] = []
    for number, line in enumerate(lines, 1):
        try:
            found += [one] if line.strip() and (one := parsed(json.loads(line), weak, strong)) else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(
                f"{file}, line {number}: {type(error).__name__} {error}; a line has text and label, text and "
                "weak_correct and strong_correct, or signals and outcomes"
            ) from None
    if not found or len({type(one) for one in found}) > 1:
        raise BadRequest(f"{file} holds no lines of one form with outcomes of {weak} and {strong}, or labels")
    return found


def parsed(line: dict[str, Any], weak: str, strong: str) -> Labelled | Compared | None:
    """One line; None for a decision that was never compared with another tier."""
    if "outcomes" in line:
        outcomes = line["outcomes"]
        if weak not in outcomes or strong not in outcomes:
            return None
        cheap, dear = outcomes[weak], outcomes[strong]
        signals = tuple(float(line["signals"][name]) for name in NUMBERS)
        return Compared(
            float(cheap["quality"]),
            float(dear["quality"]),
            float(cheap.get("cost", 0.0)),
            float(dear.get("cost", 1.0)),
            signals=signals,
        )
    if "weak_correct" in line:
        return Compared(float(line["weak_correct"]), float(line["strong_correct"]), text=str(line["text"]))
    return Labelled(str(line["text"]), QuestionKind(line["label"]).value, bool(line.get("history")))


def inputs_of(texts: Sequence[str], embed: Embed | None) -> Matrix:
    """The vector and the counts of each question; without an embedder the counts alone."""
    counts = np.array([features(text) for text in texts], dtype=np.float64)
    return np.hstack([np.asarray(embed(texts), dtype=np.float64), counts]) if embed else counts


def folds(labels: Sequence[str], count: int, seed: int) -> list[int]:
    """The number of the fold of each row, labels spread evenly."""
    random, found = np.random.default_rng(seed), [0] * len(labels)
    for label in sorted(set(labels)):
        rows = [row for row, one in enumerate(labels) if one == label]
        for place, row in enumerate(random.permutation(rows)):
            found[int(row)] = place % count
    return found


def cross_validated(inputs: Matrix, labels: Sequence[str], count: int, seed: int, ridge: float) -> Matrix:
    """The probabilities of the sorted labels for every row, by weights trained on the other folds."""
    fold = np.array(folds(labels, count, seed))
    found = np.zeros((len(labels), len(set(labels))))
    for number in range(count):
        train, test = fold != number, fold == number
        weights = fit(
            inputs[train], [label for label, here in zip(labels, train, strict=True) if here], ridge=ridge
        )
        found[test] = weights.probabilities(inputs[test])
    return found


def held_out(text: str, share: float) -> bool:
    """Whether a question is kept for measuring, always the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) < share * 2**32


def scores(wanted: Sequence[str], told: Sequence[str]) -> list[Score]:
    """Precision and recall of each label."""
    right = Counter(label for label, other in zip(wanted, told, strict=True) if label == other)
    asked, said = Counter(wanted), Counter(told)
    return [
        Score(
            label,
            right[label] / said[label] if said[label] else 0.0,
            right[label] / asked[label],
            asked[label],
        )
        for label in sorted(asked)
    ]


def macro_f1(found: Sequence[Score]) -> float:
    """The mean of F1 over labels."""
    return sum(score.f1 for score in found) / len(found)


def curve(compared: Sequence[Compared], need: Sequence[float]) -> Curve:
    """The questions handed to the dear tier one by one, the neediest first."""
    order = sorted(range(len(compared)), key=lambda row: -need[row])
    count = len(order)
    quality, cost = sum(each.weak for each in compared), sum(each.weak_cost for each in compared)
    points = [Point(float("inf"), 0.0, quality / count, cost / count)]
    for place, row in enumerate(order, 1):
        quality += compared[row].strong - compared[row].weak
        cost += compared[row].strong_cost - compared[row].weak_cost
        if place == count or need[order[place]] < need[row]:  # a threshold cannot part equals
            points.append(Point(need[row], place / count, quality / count, cost / count))
    return Curve(tuple(points))


def checked(compared: Sequence[Compared], need: Sequence[float], quality: float, seed: int) -> Point:
    """What a threshold chosen on one half reaches on the other, both ways, on average: without hindsight."""
    half = np.array(folds([each.label for each in compared], 2, seed))
    found: list[Point] = []
    for number in (0, 1):
        chosen = [row for row in range(len(half)) if half[row] != number]
        rest = [row for row in range(len(half)) if half[row] == number]
        at = (
            curve([compared[row] for row in chosen], [need[row] for row in chosen])
            .cheapest(quality)
            .threshold
        )
        strong = [need[row] >= at for row in rest]
        reached = [
            (each.strong, each.strong_cost) if asked else (each.weak, each.weak_cost)
            for each, asked in zip((compared[row] for row in rest), strong, strict=True)
        ]
        full = sum(compared[row].strong for row in rest) / len(rest)
        told = sum(one for one, _ in reached) / len(rest) / full if full else 0.0
        found.append(Point(at, sum(strong) / len(rest), told, sum(cost for _, cost in reached) / len(rest)))
    first, second = found
    return Point(
        (first.threshold + second.threshold) / 2,
        (first.strong + second.strong) / 2,
        (first.quality + second.quality) / 2,
        (first.cost + second.cost) / 2,
    )


def told_kind(chances: Mapping[str, float], row: Labelled) -> str:
    """The kind as the router sees it."""
    kinds = {QuestionKind(label): chance for label, chance in chances.items()}
    return Signals(kinds, row.in_conversation).kind.value
