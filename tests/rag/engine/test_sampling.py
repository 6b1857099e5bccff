"""Drawing tokens from logits."""

from __future__ import annotations

import numpy as np
import pytest

from rag.engine.generator import Sampling
from rag.engine.sampling import Sampler, penalised
from rag.errors import BadRequest, ModelError

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))


def drawn(times: int = 2000, **options: float) -> list[int]:
    sampler = Sampler(Sampling(**{"temperature": 1.0, **options}))  # type: ignore[arg-type]
    return [sampler.draw(LOGITS, []) for _ in range(times)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert set(drawn(10, temperature=0.0)) == {0}


def test_the_same_seed_draws_the_same_tokens() -> None:
    assert drawn(50, seed=3) == drawn(50, seed=3) != drawn(50, seed=4)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    shares = np.bincount(drawn(), minlength=4) / 2000
    assert np.allclose(shares, [0.5, 0.3, 0.15, 0.05], atol=0.04)


def test_top_k_and_top_p_cut_the_tail() -> None:
    assert set(drawn(top_k=2)) == {0, 1}
    assert set(drawn(top_p=0.6)) == {0, 1}
    assert set(drawn(top_p=0.01)) == {0}


def test_the_repeat_penalty_makes_used_tokens_less_likely() -> None:
    logits = np.array([2.0, -2.0, 1.0], dtype=np.float32)
    assert penalised(logits, [0, 1, 0], 2.0).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"seed": -1}, {"temperature": float("nan")}]
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        Sampler(Sampling(**wrong))  # type: ignore[arg-type]


def test_logits_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ModelError, match="not finite"):
        Sampler(Sampling()).draw(np.full(4, np.nan, dtype=np.float32), [])
