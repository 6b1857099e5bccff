"""What the engine believes a step costs."""

from __future__ import annotations

import pytest

from rag.engine.pacing import Pace
from rag.engine.speculation import Lookup, best_length


def learnt(base: float, per_token: float) -> Pace:
    pace = Pace()
    for tokens in [1, 4, 8, 2, 16] * 60:
        pace.note(decoding=tokens, prefilling=0, ms=base + per_token * tokens)
    return pace


def test_steps_cost_what_they_did_and_what_lies_between() -> None:
    pace = learnt(50.0, 3.0)
    assert pace.step_ms(1) == pytest.approx(53.0, rel=0.02)
    assert pace.step_ms(10) == pytest.approx(80.0, rel=0.05)
    assert pace.step_ms(20) == pytest.approx(98.0 + 4 * pace.prefill_ms, rel=0.05)


def test_one_dear_size_is_known_as_such_after_one_step() -> None:
    pace = Pace({1: 66.0}, token_ms=12.0)
    assert best_length([0.5], 15, pace) >= 1
    pace.note(decoding=2, prefilling=0, ms=103.0)
    assert pace.step_ms(2) == 103.0 and pace.step_ms(1) == 66.0


def test_a_size_that_once_was_dear_is_tried_again_some_day() -> None:
    pace = Pace({1: 60.0, 4: 900.0}, token_ms=1.0)
    assert best_length([0.9], 3, pace) == 0
    for _ in range(20_000):
        pace.note(decoding=1, prefilling=0, ms=60.0)
    assert best_length([0.9], 3, pace) == 3


def test_a_guess_gives_way_to_the_first_step_that_was_made() -> None:
    pace = Pace()
    pace.note(decoding=1, prefilling=0, ms=300.0)
    assert pace.step_ms(1) == 300.0


def test_a_prompt_token_costs_what_is_left_of_a_mixed_step() -> None:
    pace = learnt(50.0, 3.0)
    for _ in range(30):
        pace.note(decoding=2, prefilling=100, ms=56.0 + 100 * 7.0)
    assert pace.prefill_ms == pytest.approx(7.0, rel=0.05)
    assert pace.piece(2, target_ms=500.0, least=32, most=512) == pytest.approx((500 - 56) / 7.0, rel=0.05)


def test_pieces_keep_to_their_bounds() -> None:
    pace = learnt(50.0, 3.0)
    assert pace.piece(1, target_ms=1.0, least=32, most=512) == 32
    assert pace.piece(1, target_ms=1e9, least=32, most=512) == 512


def test_guesses_are_long_where_tokens_share_a_pass_and_absent_where_they_do_not() -> None:
    shared, bound = learnt(60.0, 1.0), learnt(0.0, 20.0)
    for pace, ms in ((shared, 1.0), (bound, 20.0)):
        pace.note(decoding=0, prefilling=100, ms=100 * ms)
    assert best_length([0.9], 15, shared) >= 6
    assert best_length([0.9], 15, bound) == 0
    assert best_length([0.05], 15, shared) <= 1
    assert best_length([0.9], 2, shared) == 2


def test_what_follows_the_last_words_is_looked_up_in_the_passages() -> None:
    lookup = Lookup([[1, 2, 3, 4, 5, 6], [9, 2, 3, 7]])
    assert lookup.draft([8], 5) == []
    assert lookup.draft([8, 1, 2, 3], 2) == [4, 5]
    assert lookup.draft([8, 1, 2, 3, 4, 5], 9) == [6]


def test_guesses_that_fail_are_believed_less() -> None:
    lookup = Lookup([[1, 2, 3, 4, 5, 6]])
    lookup.draft([1, 2, 3], 3)
    before = lookup.chance
    for _ in range(5):
        lookup.learn(3, 0)
    assert lookup.chance < before / 1.5
    for _ in range(20):
        lookup.learn(3, 3)
    assert lookup.chance > 0.8
