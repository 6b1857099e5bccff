"""What serving more readers at once buys and costs: slower words for each, cheaper words for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rag.cost.rates import Rates
from rag.engine.pacing import Pace
from rag.engine.tuning import Tuning
from rag.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: tokens of a prompt that are not cached, and of its answer; the longest step while others
    read along (engine.step_target_ms)."""

    prompt_tokens: int = 1000
    answer_tokens: int = 96
    step_target_ms: float = 700.0


@dataclass(frozen=True, slots=True)
class Choice:
    """So many readers at once (engine.slots).

    `inter_token_ms`: between two words of a reader while nobody arrives. `first_token_s`: of a newcomer while
    all other places are taken. `tokens_per_s`: of all readers together; money at full load, in the currency
    of the rates, of 1,000 answer tokens, prompts left out.
    """

    slots: int
    inter_token_ms: float
    first_token_s: float
    tokens_per_s: float
    answers_per_hour: float
    per_1000_tokens: float
    meets: bool = True


def choices(
    tuning: Tuning,
    rates: Rates,
    load: Load,
    *,
    inter_token_ms: float = math.inf,
    first_token_s: float = math.inf,
) -> list[Choice]:
    """One line per number of readers that was measured here. Raises BadRequest without a measurement."""
    if not tuning.is_measured:
        raise BadRequest(f"nothing was measured here yet: {tuning.note or 'rag doctor measures'}")
    pace = Pace(tuning.decode_ms, token_ms=tuning.prefill_ms_per_token)
    found = []
    for slots in sorted(tuning.decode_ms):
        step_ms = pace.step_ms(slots)
        first_s = arrival_s(pace, load, beside=slots - 1)
        speed = 1000 * slots / step_ms
        # Each answer takes its prompt, alone or in pieces, and its part of the steps.
        answer_s = (load.prompt_tokens * pace.prefill_ms + load.answer_tokens * step_ms / slots) / 1000
        found.append(
            Choice(
                slots=slots,
                inter_token_ms=step_ms,
                first_token_s=first_s,
                tokens_per_s=speed,
                answers_per_hour=3600 / answer_s,
                per_1000_tokens=rates.hour(1.0) / 3600 * 1000 / speed,
                meets=step_ms <= inter_token_ms and first_s <= first_token_s,
            )
        )
    return found


def arrival_s(pace: Pace, load: Load, *, beside: int) -> float:
    """Seconds until a newcomer's first token: alone at full speed, else in pieces within the step target."""
    alone_s = load.prompt_tokens * pace.prefill_ms / 1000
    if not beside:
        return alone_s
    piece = pace.piece(beside, target_ms=load.step_target_ms, least=1, most=load.prompt_tokens)
    return alone_s + math.ceil(load.prompt_tokens / piece) * pace.step_ms(beside) / 1000


def cheapest(found: Sequence[Choice]) -> Choice | None:
    """Of those that meet the targets, the one whose words cost least."""
    return min((each for each in found if each.meets), key=lambda each: each.per_1000_tokens, default=None)
