"""The order of a search, explained."""

from __future__ import annotations

from dataclasses import replace

from rag.retrieval.explanation import explained
from rag.types import Chunk, Passage

SIGNALS = (("dense", 0.1), ("bm25", 0.5), ("period", -0.1), ("title", 0.0))
HIT = Passage(Chunk("1", 0, "text"), "d", 1, "t", "u", 0.5, signals=SIGNALS)
BESIDE = Passage(Chunk("2", 1, "more"), "d", 1, "t", "u", 0.5, expands="1")


def test_the_weight_and_the_limits_of_the_question_come_first() -> None:
    lines = list(explained("What was the margin of Acme in Q3 2023?", [], 0.4))
    assert lines == [
        "weight: dense 0.25, bm25 0.75 (the question holds a number, an identifier or a quotation)",
        "asks for: Q3 2023, acme",
    ]


def test_a_plain_question_has_no_limits() -> None:
    assert list(explained("how do I ask for leave?", [], 0.4)) == [
        "weight: dense 0.40, bm25 0.60 (the question holds nothing that only words can match)"
    ]


def test_every_signal_that_counted_is_shown_with_what_it_added() -> None:
    lines = list(explained("leave", [HIT, BESIDE], 0.4))
    assert lines[1].strip() == "1  0.500 = dense +0.100  bm25 +0.500  period -0.100"
    assert lines[2].strip() == "2  beside the hit above it"


def test_a_learned_encoder_and_late_interaction_are_named() -> None:
    signals = (("dense", 0.0), ("sparse", 0.0), ("late interaction", 0.8), ("title", 0.05))
    lines = list(explained("leave", [replace(HIT, terms="splade-tiny", signals=signals)], 0.4))
    assert lines[0].startswith("weight: dense 0.40, sparse (splade-tiny) 0.60 (")
    assert lines[1] == "late interaction: what both legs found was scored again, token by token"
    assert lines[2].strip() == "1  0.850 = late interaction +0.800  title +0.050"
