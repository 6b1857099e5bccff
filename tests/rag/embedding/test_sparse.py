"""BM25 terms: which words count, how often, and in which scripts."""

from __future__ import annotations

import pytest

from rag.embedding.sparse import SparseEncoder

ENCODER = SparseEncoder()


def words(question: str) -> list[int]:
    """The terms of a question that are no pairs."""
    vector = ENCODER.encode_query(question)
    return [index for index, value in zip(vector.indices, vector.values, strict=True) if value == 1.0]


def test_the_terms_of_a_question_are_the_canonical_ones() -> None:
    # Written down from qdrant-edge-py 0.9.0; the third is the pair. A change makes every stored index wrong.
    vector = ENCODER.encode_query("annual leave")
    assert dict(zip(vector.indices, vector.values, strict=True)) == {
        1943443462: 1.0,
        1960190313: 1.0,
        3279690599: 0.5,
    }


def test_word_forms_meet_and_stop_words_are_left_out() -> None:
    assert set(words("the running foxes")) == set(words("fox runs"))
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


def test_forms_of_an_arabic_word_meet() -> None:
    document = set(ENCODER.encode_document("يحصل الموظفون على إجازة سنوية (annual leaves)").indices)
    assert document & set(words("الإجازات"))
    # English words beside Arabic ones keep their own stems.
    assert set(words("leave")) <= document


def test_neighbours_are_found_as_a_pair_in_any_form_and_across_stop_words() -> None:
    question = ENCODER.encode_query("operating expense")
    assert len(question.indices) == 3
    together = ENCODER.encode_document("Operating expenses rose. They rose.")
    assert set(question.indices) <= set(together.indices)
    assert set(question.indices) <= set(ENCODER.encode_document("operating of the expenses").indices)
    apart = ENCODER.encode_document("The operating result was good; expenses rose.")
    assert len(set(question.indices) & set(apart.indices)) == 2


def test_the_order_of_a_pair_counts() -> None:
    pair = set(ENCODER.encode_query("house boat").indices) - set(words("house boat"))
    assert pair.isdisjoint(ENCODER.encode_document("boat house").indices)


def test_a_word_beside_itself_is_no_pair() -> None:
    assert len(ENCODER.encode_document("leave leave leave").indices) == 1


def test_a_script_without_spaces_has_no_pairs() -> None:
    vector = ENCODER.encode_query("公司每年提供三十天假期")
    assert set(vector.values) == {1.0}
