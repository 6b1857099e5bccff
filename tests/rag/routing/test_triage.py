"""The packaged weights: measured on the half of the developer set that they were not trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from rag.embedding.dense import DenseEmbedder
from rag.errors import SettingsError
from rag.evaluation.routing import Labelled, held_out, macro_f1, read, scores
from rag.models.lockfile import entry, locate
from rag.routing.regression import Regression, fit
from rag.routing.signals import FEATURES, QuestionKind, features
from rag.routing.triage import Triage

ROUTES = Path(__file__).resolve().parents[4] / "shared/data/dev_set/router/route.jsonl"
MINILM = "all-minilm-l6-v2"
needs_routes = pytest.mark.skipif(
    not ROUTES.exists(), reason="the developer set is not beside this repository (../shared/data/dev_set)"
)


@pytest.fixture(scope="module")
def dense() -> DenseEmbedder:
    return DenseEmbedder(locate(entry(MINILM)), name=MINILM, threads=1)


@pytest.fixture(scope="module")
def triage() -> Triage:
    return Triage.of()


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("hey there, how are you", QuestionKind.CHITCHAT),
        ("set a timer for ten minutes", QuestionKind.NO_RETRIEVAL_TOOL),
        (
            "What is the percentage change in total revenue between 2018 and 2019?",
            QuestionKind.TABLE_CALCULATION,
        ),
        ("When was the bridge over the river destroyed?", QuestionKind.SIMPLE_LOOKUP),
        ("Which band was formed first, the Smiths or the Stone Roses?", QuestionKind.MULTI_HOP),
    ],
)
def test_plain_cases_are_told(
    triage: Triage, dense: DenseEmbedder, question: str, kind: QuestionKind
) -> None:
    found = triage.signals(question, list(dense.embed_query(question)), embedder=MINILM)
    assert (found.kind, found.learned) == (kind, True)
    assert sum(found.kinds.values()) == pytest.approx(1, abs=0.01)


def test_a_later_turn_is_a_follow_up_unless_it_asks_for_nothing(triage: Triage, dense: DenseEmbedder) -> None:
    def kind(question: str) -> QuestionKind:
        vector = list(dense.embed_query(question))
        return triage.signals(question, vector, embedder=MINILM, in_conversation=True).kind

    assert kind("And how much does it cost to change the plan?") is QuestionKind.FOLLOW_UP
    assert kind("tell me a joke please") is QuestionKind.CHITCHAT


@pytest.mark.parametrize(
    "question",
    [
        "How many days of annual leave do I have?",
        "Can I work from home on Fridays?",
        "my laptop is broken what now",
        "What is our VAT number?",
        "Wie viele Urlaubstage habe ich?",
        "parental leave",
    ],
)
def test_questions_of_staff_are_no_small_talk(triage: Triage, dense: DenseEmbedder, question: str) -> None:
    found = triage.signals(question, list(dense.embed_query(question)), embedder=MINILM)
    assert found.kind is QuestionKind.SIMPLE_LOOKUP


def test_vectors_of_another_embedder_are_not_read(triage: Triage) -> None:
    found = triage.signals("hello, how are you?", [0.1] * 384, embedder="another")
    assert not found.learned
    assert found == triage.signals("hello, how are you?")


def test_empty_text_is_no_error(triage: Triage) -> None:
    assert triage.signals("").words == 0


@needs_routes
def test_kinds_are_told_on_the_half_that_was_not_trained_on(triage: Triage, dense: DenseEmbedder) -> None:
    rows = [row for row in read(ROUTES) if isinstance(row, Labelled) and held_out(row.text, 0.5)]
    assert len(rows) > 200
    told, spent = [], []
    for row in rows:
        vector = list(dense.embed_query(row.text))
        began = time.thread_time()
        found = triage.signals(row.text, vector, embedder=MINILM, in_conversation=row.in_conversation)
        spent.append(time.thread_time() - began)
        told.append(found.kind.value)
    assert macro_f1(scores([row.label for row in rows], told)) >= 0.85
    assert np.quantile(spent, 0.95) < 0.005


@needs_routes
def test_without_vectors_kinds_are_told_less_well_but_told(triage: Triage) -> None:
    rows = [row for row in read(ROUTES) if isinstance(row, Labelled) and held_out(row.text, 0.5)]
    told = [triage.signals(row.text, in_conversation=row.in_conversation).kind.value for row in rows]
    assert macro_f1(scores([row.label for row in rows], told)) >= 0.75


def test_own_weights_without_an_embedder_serve_every_embedder(tmp_path: Path) -> None:
    rows = np.vstack(
        [features(text) for text in ("hello, you", "hello, me", "When was it?", "Where was it?")]
    )
    labels = ["chitchat", "chitchat", "simple_lookup", "simple_lookup"]
    file = tmp_path / "own.json"
    file.write_text(fit(rows, labels, about={"embedder": "", "features": list(FEATURES)}).json())
    found = Triage.of(file).signals("hello, you two", [0.1] * 384, embedder=MINILM)
    assert set(found.kinds) == {QuestionKind.CHITCHAT, QuestionKind.SIMPLE_LOOKUP}
    assert (found.kind, found.learned) == (QuestionKind.CHITCHAT, False)


def test_weights_survive_being_written(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = np.vstack([random.normal(centre, 1, (40, 3)) for centre in (-3, 0, 3)])
    labels = [name for name in "abc" for _ in range(40)]
    weights = fit(rows, labels, about={"lines": 120})
    file = tmp_path / "weights.json"
    file.write_text(weights.json())
    again = Regression.load(file)
    assert again.about == {"lines": 120}
    np.testing.assert_allclose(again.probabilities(rows), weights.probabilities(rows), atol=0.01)
    right = [
        weights.labels[n] == label
        for n, label in zip(weights.probabilities(rows).argmax(1), labels, strict=True)
    ]
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("text", ["", "{}", '{"labels": ["a"], "centre": [1], "scale": [1], "bias": [1]}'])
def test_a_file_without_weights_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "weights.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match="train it anew"):
        Triage.of(file)


def test_weights_that_tell_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.json"
    file.write_text(fit(np.eye(2), ["cat", "dog"], about={"embedder": MINILM}).json())
    with pytest.raises(SettingsError, match="no kinds of questions"):
        Triage.of(file)
    assert json.loads(file.read_text())["labels"] == ["cat", "dog"]
