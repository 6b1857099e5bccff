"""Vectors of sentences are kept for whom they were made, in bounds, and until a document goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rag.embedding.embedder import Vectors
from rag.embedding.kept import KeptVectors


class Counting:
    """Embeds a text as its length and its first letter, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)


@pytest.fixture
def embed() -> Counting:
    return Counting()


def test_what_was_embedded_before_is_not_embedded_again_and_is_the_same(embed: Counting) -> None:
    kept = KeptVectors(embed)
    first = kept.of(["a", "bb", "a"], reader="acme", epoch="1")
    again = kept.of(["bb", "ccc"], reader="acme", epoch="1")
    assert embed.asked == ["a", "bb", "ccc"]
    assert first.tolist() == [[1, 97], [2, 98], [1, 97]] and again.tolist() == [[2, 98], [3, 99]]


def test_nobody_is_faster_for_what_others_asked(embed: Counting) -> None:
    kept = KeptVectors(embed)
    for reader in ("acme\x1fboard", "acme\x1fstaff", "other\x1fboard"):
        kept.of(["a"], reader=reader, epoch="1")
    assert embed.asked == ["a", "a", "a"]


def test_after_a_removal_nothing_of_before_is_left(embed: Counting) -> None:
    kept = KeptVectors(embed)
    for epoch in ("1", "2", "1"):
        kept.of(["a"], reader="acme", epoch=epoch)
    assert embed.asked == ["a", "a", "a"]


def test_the_least_used_make_room_and_those_of_others_stay(embed: Counting) -> None:
    kept = KeptVectors(embed, most_texts=2)
    kept.of(["x"], reader="other", epoch="1")
    kept.of(["a", "bb", "ccc"], reader="acme", epoch="1")  # more at once than are kept
    embed.asked.clear()
    kept.of(["x"], reader="other", epoch="1")
    kept.of(["bb", "ccc"], reader="acme", epoch="1")
    assert embed.asked == []
    kept.of(["a"], reader="acme", epoch="1")
    assert embed.asked == ["a"]


def test_a_reader_too_many_costs_the_one_who_asked_longest_ago(embed: Counting) -> None:
    kept = KeptVectors(embed, most_readers=2)
    for reader in ("a", "b", "a", "c"):
        kept.of(["x"], reader=reader, epoch="1")
    embed.asked.clear()
    kept.of(["x"], reader="a", epoch="1")
    assert embed.asked == []
    kept.of(["x"], reader="b", epoch="1")
    assert embed.asked == ["x"]
