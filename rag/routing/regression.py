"""Multinomial logistic regression on numpy, kept as JSON and quick enough for every question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SettingsError

Matrix = NDArray[np.float64]
STEPS = 600
DIGITS = 4  # of a weight in the file


@dataclass(frozen=True, slots=True)
class Regression:
    """Weights of shape (labels, inputs) over standardised inputs. `about`: what it was trained on, and how
    well it did on what it had not seen."""

    labels: tuple[str, ...]
    centre: Matrix
    scale: Matrix
    weights: Matrix
    bias: Matrix
    about: dict[str, Any]

    def probabilities(self, inputs: Matrix) -> Matrix:
        """The probability of each label, shape (labels,) or (rows, labels) as the inputs are."""
        return softmax((inputs - self.centre) / self.scale @ self.weights.T + self.bias)

    def json(self) -> str:
        """What `load` reads."""
        fields = {
            "about": self.about,
            "labels": list(self.labels),
            "centre": rounded(self.centre),
            "scale": rounded(self.scale),
            "bias": rounded(self.bias),
            "weights": [rounded(row) for row in self.weights],
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def load(cls, file: Path) -> Regression:
        """The weights in a file. Raises SettingsError that says what is wrong with it."""
        try:
            fields = json.loads(file.read_text("utf-8"))
            centre, scale, bias, weights = (
                np.array(fields[name], dtype=np.float64) for name in ("centre", "scale", "bias", "weights")
            )
            labels, about = tuple(fields["labels"]), dict(fields["about"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{file} holds no weights as `rag eval routing --train` writes them ({error}); train it anew"
            ) from None
        if weights.shape != (len(labels), len(centre)) or scale.shape != centre.shape:
            raise SettingsError(f"{file} holds weights of shape {weights.shape} only; train it anew")
        return cls(labels, centre, scale, weights, bias, about)


def fit(
    inputs: Matrix, labels: Sequence[str], *, ridge: float = 0.01, about: dict[str, Any] | None = None
) -> Regression:
    """The weights that explain the labels best, each label counting the same whatever its number of rows.

    Nesterov's accelerated gradient on the ridge-penalised likelihood: the same rows give the same weights.
    """
    names = tuple(sorted(set(labels)))
    centre = inputs.mean(axis=0)
    scale = np.where((deviation := inputs.std(axis=0)) > 1e-9, deviation, 1.0)
    rows = (inputs - centre) / scale
    wanted = np.array([[name == label for name in names] for label in labels], dtype=np.float64)
    weigh = (wanted / wanted.sum(axis=0)).sum(axis=1, keepdims=True) / len(names)
    # The Hessian of the softmax is at most half of the weighted Gram matrix.
    step = 1 / (0.5 * float(np.linalg.norm(rows * np.sqrt(weigh), 2)) ** 2 + 0.5 + ridge)
    weights, bias = np.zeros((len(names), rows.shape[1])), np.zeros(len(names))
    ahead, ahead_bias = weights, bias
    for turn in range(STEPS):
        wrong = weigh * (softmax(rows @ ahead.T + ahead_bias) - wanted)
        fresh = ahead - step * (wrong.T @ rows + ridge * ahead)
        fresh_bias = ahead_bias - step * wrong.sum(axis=0)
        push = turn / (turn + 3)
        ahead, ahead_bias = fresh + push * (fresh - weights), fresh_bias + push * (fresh_bias - bias)
        weights, bias = fresh, fresh_bias
    return Regression(names, centre, scale, weights, bias, about or {})


def softmax(scores: Matrix) -> Matrix:
    """Probabilities along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    whole: Matrix = powers / powers.sum(axis=-1, keepdims=True)
    return whole


def rounded(row: Matrix) -> list[float]:
    """A row with as many digits as tell."""
    return [float(f"{value:.{DIGITS}g}") for value in row]
