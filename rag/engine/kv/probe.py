"""What this model's KV looks like here, and whether it may be kept and moved: tried, not believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rag.engine.kv.layout import Block, Shape, State
from rag.engine.kv.rope import F16, Rope
from rag.engine.model import Model
from rag.engine.sequence import Share
from rag.errors import ModelError
from rag.models.abilities import Abilities
from rag.models.header import Header

DISTANCE = 40
LARGEST_ERROR = 0.02  # of the largest key; F16 rounds twice, a wrong rotation is off by the whole


@dataclass(frozen=True, slots=True)
class Facts:
    """`shape`: None if KV cannot be kept. `rope`: None if it cannot be moved. `note` says why."""

    shape: Shape | None
    rope: Rope | None
    note: str = ""


def probe(model: Model, can: Abilities, header: Header) -> Facts:
    """Compute a few tokens and look at what they leave behind; what the header rules out is not tried."""
    if not can.can_trim:
        return Facts(None, None, f"off: {can.reason}")
    token = model.tokens("the", control=False)[:1]
    try:
        model.decode([Share(0, 0, token * (DISTANCE + 1))])
        state = State(model.save(0))
    except ModelError as error:
        return Facts(None, None, f"off: {error}")
    finally:
        model.trim(0, 0)
    try:
        if not can.can_shift:
            raise ModelError(can.reason)
        rope = rotation(model, header)
        if state.shape.k_type != F16:
            raise ModelError("KV can be moved as F16 only")
        check(state, rope)
    except ModelError as error:
        return Facts(state.shape, None, f"exact only: {error}")
    return Facts(state.shape, rope)


def rotation(model: Model, header: Header) -> Rope:
    """How keys are rotated. Raises ModelError if they may not stand at another position, and why."""
    if not model.can_shift:
        raise ModelError("this architecture does not allow KV to be moved to other positions")
    if model.rope_type not in ("norm", "neox"):
        raise ModelError(f"KV cannot be moved: rotation of type {model.rope_type} (norm and neox are known)")
    rope = header.rope
    if rope.scaling not in ("", "linear"):
        raise ModelError(f"KV cannot be moved: the model scales its positions ({rope.scaling})")
    return Rope(
        head_size=header.head_size,
        dims=rope.dimensions,
        base=rope.freq_base,
        scale=1 / rope.factor if rope.factor else 1.0,
        halves=model.rope_type == "neox",
        factors=rope.factors,
    )


def check(state: State, rope: Rope) -> None:
    """Compare a key that was moved with one that was computed there. Raises ModelError if they differ.

    In the first layer the key of a token depends on nothing but the token and its position.
    """
    near, far = state.cut(0, 1), state.cut(DISTANCE, DISTANCE + 1)
    moved = rope.moved(Block(0, near.k[:1], near.v[:1]), _one_layer(state.shape), DISTANCE)
    got, want = (block.k[0].view(np.float16).astype(np.float32) for block in (moved, far))
    error = float(np.abs(got - want).max() / np.abs(want).max())
    if not error < LARGEST_ERROR:
        raise ModelError(f"its rotation is not the one known here (a moved key is off by {error:.0%})")


def _one_layer(shape: Shape) -> Shape:
    return Shape(**{name: getattr(shape, name) for name in shape.__slots__} | {"layers": 1})
