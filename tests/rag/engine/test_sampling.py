"""Drawing tokens from logits."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.engine.generator import Sampling
from rag.engine.sampling import Sampler, biased, check, penalised
from rag.errors import BadRequest, ModelError

SHARES = [0.5, 0.3, 0.15, 0.05]
LOGITS = np.log(np.array(SHARES, dtype=np.float32))


class Only:
    """A constraint to some tokens."""

    def __init__(self, *tokens: int) -> None:
        self.tokens, self.accepted, self.closed, self.masks = tokens, list[int](), 0, 0

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        self.masks += 1
        masked = np.full_like(logits, -np.inf)
        masked[list(self.tokens)] = logits[list(self.tokens)]
        return masked

    def allows(self, token: int) -> bool:
        return token in self.tokens

    def accept(self, token: int) -> None:
        assert token in self.tokens
        self.accepted.append(token)

    def close(self) -> None:
        self.closed += 1


def drawn(times: int = 2000, constraint: Only | None = None, **options: Any) -> list[int]:
    sampler = Sampler(Sampling(**{"temperature": 1.0, **options}), constraint)
    return [sampler.draw(LOGITS, []) for _ in range(times)]


def shares(tokens: list[int]) -> NDArray[np.float64]:
    return np.bincount(tokens, minlength=4) / len(tokens)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(drawn(10, temperature=0.0)) == {0}


def test_the_same_seed_draws_the_same_tokens() -> None:
    assert drawn(50, seed=3) == drawn(50, seed=3) != drawn(50, seed=4)


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.9999}, {"min_p": 0.001}])
def test_tokens_come_as_often_as_they_are_likely(options: dict[str, float]) -> None:
    assert np.allclose(shares(drawn(**options)), SHARES, atol=0.04)


def test_temperature_sharpens_and_flattens() -> None:
    assert np.allclose(shares(drawn(temperature=0.5)), np.square(SHARES) / np.square(SHARES).sum(), atol=0.04)
    assert np.allclose(shares(drawn(temperature=10.0)), 0.25, atol=0.06)
    assert set(drawn(10, temperature=1e-300)) == {0}


def test_top_k_top_p_and_min_p_cut_the_tail() -> None:
    assert set(drawn(top_k=2)) == {0, 1}
    assert set(drawn(top_p=0.6)) == {0, 1}
    assert set(drawn(top_p=0.01)) == {0}
    assert set(drawn(min_p=0.2)) == {0, 1, 2}
    assert set(drawn(min_p=1.0)) == {0}
    assert set(drawn(top_k=3, top_p=0.8, min_p=0.1)) == {0, 1}


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 700),
    top_k=st.integers(0, 700),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 1.0),
)
def test_what_is_drawn_is_within_every_limit(
    seed: int, size: int, top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    sampling = Sampling(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    token = Sampler(sampling).draw(logits, [])
    order = np.argsort(-logits, kind="stable")
    kept = np.exp(logits[order].astype(np.float64))[: top_k or None]
    rank = int(np.flatnonzero(order == token)[0])
    assert rank < len(kept)
    assert kept[:rank].sum() <= top_p * kept.sum() + 1e-9
    assert kept[rank] >= min_p * kept[0] - 1e-9


def test_the_repeat_penalty_makes_used_tokens_less_likely() -> None:
    logits = np.array([2.0, -2.0, 1.0], dtype=np.float32)
    assert penalised(logits, [0, 1, 0], Sampling(repeat_penalty=2.0)).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0]


def test_presence_counts_once_and_frequency_every_time() -> None:
    logits = np.array([2.0, -2.0, 1.0], dtype=np.float32)
    assert penalised(logits, [0, 1, 0], Sampling(presence_penalty=0.5)).tolist() == [1.5, -2.5, 1.0]
    assert penalised(logits, [0, 1, 0], Sampling(frequency_penalty=0.5)).tolist() == [1.0, -2.5, 1.0]


def test_a_bias_moves_a_token_and_the_lowest_bans_it() -> None:
    assert drawn(5, temperature=0.0, logit_bias=((3, 100.0),)) == [3] * 5
    assert drawn(5, temperature=0.0, logit_bias=((0, -100.0),)) == [1] * 5
    assert 0 not in drawn(500, logit_bias=((0, -100.0),))
    assert np.isneginf(biased(LOGITS, ((0, -100.0),))[0]) and np.isfinite(LOGITS[0])


def test_a_bias_for_a_token_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(BadRequest, match="token 4; the model has tokens 0 to 3"):
        drawn(1, logit_bias=((4, 1.0),))


def test_the_favourite_is_taken_without_a_mask_when_it_is_allowed() -> None:
    only = Only(0, 3)
    assert drawn(5, only, temperature=0.0) == only.accepted == [0] * 5
    assert only.masks == 0


def test_under_a_constraint_the_rest_keeps_its_shares() -> None:
    for options in ({}, {"top_k": 4}):
        assert np.allclose(shares(drawn(4000, Only(1, 2), **options)), [0, 2 / 3, 1 / 3, 0], atol=0.03)
    assert set(drawn(20, Only(2, 3), temperature=0.0)) == {2}
    # The limits count what is allowed only.
    assert set(drawn(200, Only(2, 3), top_k=2)) == {2, 3}


def test_a_constraint_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(BadRequest, match="no token is left"):
        drawn(1, Only(0), temperature=0.0, logit_bias=((0, -100.0),))


def test_closing_closes_the_constraint() -> None:
    only = Only(0)
    Sampler(Sampling(), only).close()
    Sampler(Sampling()).close()
    assert only.closed == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_k": -1},
        {"min_p": 1.1},
        {"seed": -1},
        {"repeat_penalty": 0.0},
        {"presence_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"max_tokens": 0},
        {"logprobs": 21},
        {"logit_bias": ((5, 101.0),)},
        {"logit_bias": ((-1, 1.0),)},
        {"temperature": "1"},
        {"temperature": True},
        {"top_k": 2.5},
        {"seed": 1.5},
        {"seed": None},
        {"max_tokens": None},
        {"logprobs": "all"},
        {"stop": (5,)},
        {"logit_bias": ((1.5, 1.0),)},
        {"logit_bias": ((1, "x"),)},
        {"grammar": 5},
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        Sampler(Sampling(**wrong))


def test_a_refusal_names_what_is_allowed() -> None:
    with pytest.raises(BadRequest, match=r"top_p is 0\.0, which is out of range: above 0 and at most 1"):
        check(Sampling(top_p=0.0))
    with pytest.raises(BadRequest, match="grammar and verbatim are both given; choose one"):
        check(Sampling(grammar='root ::= "a"', verbatim=True))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error(value: float) -> None:
    with pytest.raises(ModelError, match="not finite"):
        Sampler(Sampling()).draw(np.full(4, value, dtype=np.float32), [])


@pytest.mark.parametrize(
    ("options", "budget_ms"), [({}, 1), ({"temperature": 0.7}, 20), ({"temperature": 0.7, "top_p": 0.9}, 40)]
)
def test_a_large_vocabulary_is_drawn_from_quickly(options: dict[str, float], budget_ms: float) -> None:
    sampler = Sampler(Sampling(**options))  # type: ignore[arg-type]
    logits = np.random.default_rng(0).normal(0, 4, size=152_064).astype(np.float32)
    begin = time.process_time()
    for _ in range(10):
        sampler.draw(logits, [])
    assert (time.process_time() - begin) * 100 < budget_ms
