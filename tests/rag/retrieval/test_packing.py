"""Twins are dropped, contradictions are not."""

from __future__ import annotations

from rag.retrieval.packing import distinct
from rag.types import Chunk, Passage

RULE = (
    "Every employee has {} days of paid annual leave, to be taken before the end of March of the next year."
)


def passage(number: int, text: str) -> Passage:
    return Passage(Chunk(str(number), 0, text), "d", 1, "t", "u", score=1 / number)


def test_the_same_text_is_kept_once_and_the_better_stays() -> None:
    twins = [
        passage(1, RULE.format(30)),
        passage(2, RULE.format(30).upper() + "\n"),
        passage(3, "Coffee is free."),
    ]
    assert [each.chunk.id for each in distinct(twins, limit=8)] == ["1", "3"]


def test_two_versions_that_differ_in_a_number_are_both_kept() -> None:
    assert len(distinct([passage(1, RULE.format(30)), passage(2, RULE.format(25))], limit=8)) == 2


def test_dropped_twins_make_room_for_the_next() -> None:
    ranked = [
        passage(1, "one text"),
        passage(2, "one text"),
        passage(3, "another text entirely"),
        passage(4, "x"),
    ]
    assert [each.chunk.id for each in distinct(ranked, limit=2)] == ["1", "3"]
