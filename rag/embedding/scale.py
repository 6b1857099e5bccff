"""Cosines of any embedder on the scale of the bundled one, on which every limit of this program was fitted.

For one embedder two texts that have nothing to do with each other have a cosine of .05, for another one of
.75. What a cosine says is found out on texts of which it is known how they belong together: anchors.toml.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.embedding.embedder import Embedder, Vectors

ANCHORS = Path(__file__).with_name("anchors.toml")
# An embedder that finds fewer of the sample answers among all of them does not know what these texts mean.
FEW = 0.75
STEP = 1e-4  # between two marks that an embedder mixes up

Cosines = NDArray[np.float32]
Side = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Texts that belong together line by line."""

    questions: tuple[str, ...]
    again: tuple[str, ...]
    answers: tuple[str, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Marks:
    """Mean cosines of a question with answers of other questions, with a sentence beside its answer, with its
    answer, and with itself in other words."""

    unrelated: float
    beside: float
    answer: float
    again: float

    @property
    def steps(self) -> Cosines:
        """The marks and the 1 of a text with itself, each above the one before, whatever was measured."""
        marks = np.maximum.accumulate([self.unrelated, self.beside, self.answer, self.again, 1.0])
        apart = STEP * np.arange(len(marks))
        steps: Cosines = np.minimum(marks + apart, 1.0 + apart - apart[-1])
        return steps


# Of the bundled embedder: in float32 and in int8, whole and cut to 128 numbers, none is .03 away.
BUNDLED_NAME = "all-minilm-l6-v2"
BUNDLED = Marks(unrelated=0.052, beside=0.436, answer=0.656, again=0.725)


@dataclass(frozen=True, slots=True)
class Scale:
    """What an embedder's cosines mean. `found`: for which part of the sample questions the answer is nearer
    than every other sentence."""

    marks: Marks = BUNDLED
    found: float = 1.0

    def __call__(self, cosines: Cosines) -> Cosines:
        """The cosines that the bundled embedder would give, in the same order. Any shape."""
        if self.marks is BUNDLED:
            return cosines
        theirs, ours = self.marks.steps, BUNDLED.steps
        slope = (ours[1] - ours[0]) / (theirs[1] - theirs[0])
        below = ours[0] + slope * (cosines - theirs[0])
        known = np.interp(cosines, theirs, ours)
        return np.clip(np.where(cosines < theirs[0], below, known), -1.0, 1.0).astype(np.float32)

    @property
    def told(self) -> str:
        """In words, for `rag doctor`."""
        if self.marks is BUNDLED:
            return "answers, declining and grounding are fitted to its cosines"
        return (
            f"unrelated texts have cosines of {self.marks.unrelated:.2f}, questions and their answers "
            f"{self.marks.answer:.2f}; {self.found:.0%} of the sample answers found"
        )


def measured(embedder: Embedder) -> dict[Side, Scale]:
    """The scale by how the left one of two texts is embedded; the right one is always a document."""
    texts = anchors()
    answers, beside, again = map(embedder.embed_documents, (texts.answers, texts.beside, texts.again))

    def scale(questions: Vectors) -> Scale:
        answering = questions @ answers.T
        own = np.diag(answering)
        strange = answering[~np.eye(len(own), dtype=bool)]
        best = np.maximum(answering.max(axis=1), (questions @ beside.T).max(axis=1))
        near, same = (np.sum(questions * each, axis=1) for each in (beside, again))
        marks = Marks(*(float(np.mean(each)) for each in (strange, near, own, same)))
        return Scale(marks, float(np.mean(own >= best)))

    return {
        "query": scale(np.stack([embedder.embed_query(text) for text in texts.questions])),
        "document": scale(embedder.embed_documents(texts.questions)),
    }


@lru_cache(maxsize=1)
def anchors() -> Anchors:
    """The texts of anchors.toml."""
    rows = tomllib.loads(ANCHORS.read_text("utf-8"))["anchor"]
    columns = {name: tuple(row[name] for row in rows) for name in ("question", "again", "answer", "beside")}
    return Anchors(columns["question"], columns["again"], columns["answer"], columns["beside"])
