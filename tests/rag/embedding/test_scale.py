"""Limits that were fitted to the bundled embedder hold for others, whose cosines mean something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.embedding.dense import DenseEmbedder
from rag.embedding.prompts import Prompts
from rag.embedding.scale import BUNDLED, BUNDLED_NAME, FEW, Marks, Scale, anchors, measured
from rag.models.lockfile import entry, locate


@pytest.fixture(scope="module")
def bundled() -> DenseEmbedder:
    return DenseEmbedder(locate(entry(BUNDLED_NAME)), dtype="float32")


@pytest.fixture(scope="module")
def crowded(crowded_model: Path) -> DenseEmbedder:
    return DenseEmbedder(crowded_model, dtype="float32", prompts=Prompts())


def test_the_marks_of_the_bundled_embedder_are_what_it_measures(bundled: DenseEmbedder) -> None:
    for scale in measured(bundled).values():
        assert max(abs(a - b) for a, b in zip(scale.marks.steps, BUNDLED.steps, strict=True)) < 0.01
        assert scale.found >= FEW


def test_its_cosines_stay_as_they_are() -> None:
    cosines = np.array([[-1.0, 0.05, 1.0]], dtype=np.float32)
    assert Scale()(cosines) is cosines


def test_another_embedders_cosines_become_those_of_the_bundled_one(
    bundled: DenseEmbedder, crowded: DenseEmbedder
) -> None:
    texts = [*anchors().answers, *anchors().beside]
    theirs, ours = (each.embed_documents(texts) for each in (crowded, bundled))
    raw, known = theirs @ theirs.T, ours @ ours.T
    assert raw.min() > 0.6, "else this embedder measures as the bundled one does"
    assert np.abs(measured(crowded)["document"](raw) - known).max() < 0.02


@pytest.mark.parametrize(
    "marks",
    [
        BUNDLED,
        Marks(0.74, 0.80, 0.86, 0.94),
        Marks(0.9, 0.9, 0.9, 0.9),
        Marks(0.5, 0.3, 0.9, 0.7),  # mixed up
        Marks(-0.2, -0.1, 0.1, 1.0),
    ],
)
def test_the_order_of_cosines_stays_whatever_was_measured(marks: Marks) -> None:
    cosines = np.linspace(-1, 1, 2001, dtype=np.float32)
    read = Scale(Marks(marks.unrelated, marks.beside, marks.answer, marks.again))(cosines)
    assert (np.diff(read) >= 0).all()
    assert read.min() >= -1 and read.max() <= 1 and read[-1] == pytest.approx(1.0)


class Strange:
    """An embedder that knows nothing: the vector of a text depends on its letters alone."""

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng(list(text.encode())).normal(size=64) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed_documents([text])[0]


def test_an_embedder_that_knows_nothing_is_found_out() -> None:
    assert measured(Strange())["query"].found < FEW  # type: ignore[arg-type]


def test_the_anchors_are_whole_and_no_text_stands_twice() -> None:
    columns = anchors()
    texts = [*columns.questions, *columns.again, *columns.answers, *columns.beside]
    assert len(set(texts)) == len(texts) == 4 * len(columns.questions)
