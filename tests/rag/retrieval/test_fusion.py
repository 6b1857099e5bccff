"""Fusion and the weight it uses."""

from __future__ import annotations

import pytest

from rag.retrieval.fusion import blend, fuse, rescored, weigh


def test_what_both_legs_like_comes_first() -> None:
    fused = fuse([("a", 0.9), ("b", 0.8), ("c", 0.2)], [("b", 9.0), ("d", 8.0)], weight=0.5, limit=10)
    assert fused[0].id == "b"
    assert (fused[0].dense, fused[0].sparse) == (0.8, 9.0)
    assert {hit.id for hit in fused} == {"a", "b", "c", "d"}


def test_a_score_is_between_0_and_1_and_sorted() -> None:
    scores = [hit.score for hit in fuse([("a", -0.1), ("b", -0.5)], [("b", 3.0)], weight=0.4, limit=10)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_the_weight_decides_between_the_legs() -> None:
    dense, sparse = [("d", 0.9), ("s", 0.1)], [("s", 9.0), ("d", 1.0)]
    assert fuse(dense, sparse, weight=0.9, limit=2)[0].id == "d"
    assert fuse(dense, sparse, weight=0.1, limit=2)[0].id == "s"


def test_a_leg_that_found_nothing_does_not_dilute_the_other() -> None:
    assert fuse([("a", 0.7), ("b", 0.3)], [], weight=0.4, limit=10)[0].score == 1.0
    assert fuse([], [("a", 5.0)], weight=0.4, limit=10)[0].score == 1.0
    assert fuse([], [], weight=0.4, limit=10) == []


def test_the_weakest_match_of_a_short_list_still_counts() -> None:
    fused = {hit.id: hit.score for hit in fuse([("a", 0.5)], [("a", 8.0), ("b", 4.0)], weight=0.4, limit=10)}
    assert fused["b"] == pytest.approx(0.6 * 0.5)


@pytest.mark.parametrize(
    "question",
    [
        "What was revenue in 2019?",
        'Who said "the sky is low"?',
        "What does max_tokens do?",
        "Form 10-Q total?",
    ],
)
def test_a_literal_question_trusts_the_words(question: str) -> None:
    evidence = weigh(question, 0.4)
    assert evidence.literal
    assert evidence.weight == pytest.approx(0.25)


def test_a_plain_question_keeps_the_base_weight() -> None:
    assert weigh("How do I ask for parental leave?", 0.4).weight == 0.4


@pytest.mark.parametrize("question", ["Сколько дней отпуска?", "年假", "कितनी छुट्टी?"])
def test_a_question_in_a_script_that_the_embedder_does_not_know_trusts_the_words_more(question: str) -> None:
    assert weigh(question, 0.4, ("en",)).weight == pytest.approx(0.25)
    assert weigh(question, 0.4, ("en", "ru", "zh", "hi")).weight == 0.4
    assert weigh(question, 0.4).weight == 0.4  # not stated: taken for all


def test_latin_names_in_a_question_do_not_hide_its_language() -> None:
    assert weigh("Как настроить Cisco AnyConnect Secure Mobility Client?", 0.4, ("en", "ru")).weight == 0.4


def test_a_weight_switched_off_stays_off() -> None:
    assert weigh("in 2019", 0.0).weight == 0.0


def test_a_blend_keeps_what_either_ranking_found() -> None:
    own = fuse([("a", 0.9), ("b", 0.1)], [("a", 5.0)], weight=0.4, limit=2)
    near = fuse([("c", 0.9), ("a", 0.1)], [("c", 7.0)], weight=0.4, limit=2)
    blended = {hit.id: hit.score for hit in blend(own, near, share=0.8)}
    assert blended == pytest.approx({"a": 0.8, "c": 0.2, "b": 0.0})


def test_the_shares_of_both_legs_are_the_score() -> None:
    for hit in fuse([("a", 0.9), ("b", 0.3)], [("b", 5.0)], weight=0.4, limit=10):
        assert hit.score == hit.dense_share + hit.sparse_share
        assert hit.sparse_share == (0.0 if hit.sparse is None else pytest.approx(0.6))


def test_in_a_small_index_two_texts_that_are_alike_score_alike() -> None:
    small = {hit.id: hit.score for hit in fuse([("a", 0.82), ("b", 0.80)], [], weight=0.4, limit=10)}
    assert small["b"] > 0.9
    full = {hit.id: hit.score for hit in fuse([("a", 0.82), ("b", 0.80)], [], weight=0.4, limit=2)}
    assert full["b"] == 0.0


def test_late_interaction_orders_what_both_legs_found() -> None:
    fused = fuse([("a", 0.9), ("b", 0.8)], [("b", 9.0), ("c", 8.0)], weight=0.5, limit=10)
    again = rescored(fused, [("c", 0.9), ("a", 0.7), ("b", 0.6)])
    assert [(hit.id, hit.score) for hit in again] == [
        ("c", 1.0),
        ("a", pytest.approx(1 / 3)),
        ("b", 0.0),
    ]
    # What the legs scored stays readable, and counts no more.
    assert [(hit.dense, hit.sparse) for hit in again] == [(None, 8.0), (0.9, None), (0.8, 9.0)]
    assert all(hit.dense_share == hit.sparse_share == 0 for hit in again)


def test_a_hit_without_token_vectors_comes_last() -> None:
    fused = fuse([("a", 0.9), ("b", 0.8)], [], weight=0.5, limit=10)
    assert [(hit.id, hit.score) for hit in rescored(fused, [("b", 0.1)])] == [("b", 1.0), ("a", 0.0)]


def test_the_scores_of_late_interaction_blend_too() -> None:
    hits = fuse([("a", 0.9), ("b", 0.1)], [], weight=0.5, limit=10)
    first, second = rescored(hits, [("a", 0.9), ("b", 0.1)]), rescored(hits, [("b", 0.9), ("a", 0.1)])
    assert {hit.id: hit.score for hit in blend(first, second, share=0.7)} == {
        "a": pytest.approx(0.7),
        "b": pytest.approx(0.3),
    }
