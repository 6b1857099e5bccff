"""BM25 terms: which words count, how often, and in which scripts."""

from __future__ import annotations

import pytest

from rag.embedding.sparse import SparseEncoder

ENCODER = SparseEncoder()


def test_the_terms_of_a_question_are_the_canonical_ones() -> None:
    # Written down from qdrant-edge-py 0.9.0. A change makes every stored index wrong.
    vector = ENCODER.encode_query("annual leave")
    assert dict(zip(vector.indices, vector.values, strict=True)) == {1943443462: 1.0, 1960190313: 1.0}


def test_word_forms_meet_and_stop_words_are_left_out() -> None:
    assert set(ENCODER.encode_query("the running foxes").indices) == set(
        ENCODER.encode_query("fox runs").indices
    )
    assert ENCODER.encode_query("the of and").indices == []
    assert ENCODER.encode_query("").indices == []


def test_a_word_that_comes_twice_weighs_more_but_not_double() -> None:
    once, twice = ENCODER.encode_document("leave"), ENCODER.encode_document("leave leave")
    assert once.values[0] < twice.values[0] < 2 * once.values[0]


@pytest.mark.parametrize(
    ("sentence", "word"),
    [("東京は日本の首都です", "首都"), ("公司每年提供三十天假期", "假期"), ("พนักงานมีวันลาสามสิบวัน", "พนักงาน")],
    ids=["Japanese", "Chinese", "Thai"],
)
def test_a_word_is_found_in_a_script_without_spaces(sentence: str, word: str) -> None:
    assert set(ENCODER.encode_query(word).indices) <= set(ENCODER.encode_document(sentence).indices)
