"""State blobs: what is cut out and spliced together again is the same to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.engine.kv.layout import Block, Shape, Splicer, State, state_bytes
from rag.engine.kv.rope import Rope
from rag.errors import ModelError

HEAD = 8


def shape(*, transposed: bool, streams: int = 3) -> Shape:
    return Shape(
        0x1234,
        streams,
        2,
        1,
        2 * HEAD,
        1,
        2 if transposed else 2 * HEAD,
        HEAD if transposed else 1,
        transposed,
    )


def block(shape: Shape, start: int, tokens: int, seed: int = 0) -> Block:
    random = np.random.default_rng(seed)
    k = random.standard_normal((shape.layers, tokens, shape.k_row // 2)).astype(np.float16).view(np.uint8)
    wide = (shape.v_width, tokens * shape.v_size) if shape.transposed else (tokens, shape.v_size)
    return Block(start, k, random.integers(0, 256, (shape.layers, *wide), np.uint8))


def spliced(shape: Shape, *blocks: Block) -> NDArray[np.uint8]:
    buffer = np.zeros(state_bytes(shape, sum(one.tokens for one in blocks)), np.uint8)
    return Splicer(shape).splice(blocks, buffer)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    transposed=st.booleans(),
    streams=st.integers(1, 4),
)
def test_blocks_come_out_of_a_state_as_they_went_in(sizes: list[int], transposed: bool, streams: int) -> None:
    form = shape(transposed=transposed, streams=streams)
    blocks = [block(form, 0, size, seed) for seed, size in enumerate(sizes)]
    state = State(spliced(form, *blocks))
    assert state.shape == form
    at = 0
    for one in blocks:
        cut = state.cut(at, at + one.tokens)
        assert np.array_equal(cut.k, one.k) and np.array_equal(cut.v, one.v) and cut.start == at
        at += one.tokens


@pytest.mark.parametrize("transposed", [True, False])
def test_a_part_of_a_block_is_what_would_be_cut_there(transposed: bool) -> None:
    form = shape(transposed=transposed)
    state = State(spliced(form, block(form, 0, 9)))
    part, cut = state.cut(0, 9).part(form, 2, 7), state.cut(2, 7)
    assert np.array_equal(part.k, cut.k) and np.array_equal(part.v, cut.v) and part.start == cut.start


def test_positions_are_what_counts_not_the_order_of_cells() -> None:
    form = shape(transposed=True, streams=1)
    blob = spliced(form, block(form, 0, 3)).copy()
    table = blob[16 : 16 + 36].view("<i4").reshape(3, 3)
    table[:, 0] = [2, 0, 1]  # the cell in front holds the last position
    original, state = State(spliced(form, block(form, 0, 3))), State(blob)
    assert np.array_equal(state.cut(0, 3).k, original.cut(0, 3).k[:, [1, 2, 0]])


def test_a_state_of_another_form_is_refused() -> None:
    form = shape(transposed=True)
    blob = spliced(form, block(form, 0, 4))
    for broken in (blob[:50], np.concatenate([blob, blob]), np.zeros(64, np.uint8)):
        with pytest.raises(ModelError):
            State(broken)


@pytest.mark.parametrize("halves", [True, False])
@pytest.mark.parametrize("dims", [HEAD, HEAD // 2])
def test_a_move_there_and_back_changes_nothing_but_rounding(halves: bool, dims: int) -> None:
    form, rope = shape(transposed=True), Rope(head_size=HEAD, dims=dims, base=10_000.0, halves=halves)
    there = rope.moved(block(form, 5, 4), form, 900)
    back = rope.moved(there, form, 5)
    was, now, away = (one.k.view(np.float16).astype(np.float32) for one in (block(form, 5, 4), back, there))
    assert np.allclose(was, now, atol=0.01) and np.abs(was - away).max() > 0.5
    assert there.start == 900 and there.v is not None


def test_a_move_is_the_rotation_of_the_formula() -> None:
    form, rope = shape(transposed=True), Rope(head_size=HEAD, dims=HEAD, base=100.0)
    one = block(form, 0, 1)
    moved = rope.moved(one, form, 3).k[0].view(np.float16).astype(np.float64).reshape(-1)
    keys = one.k[0].view(np.float16).astype(np.float64).reshape(-1)
    for pair in range(HEAD // 2):
        angle = 3 * 100.0 ** (-2 * pair / HEAD)
        x, y = keys[2 * pair], keys[2 * pair + 1]
        assert moved[2 * pair] == pytest.approx(x * np.cos(angle) - y * np.sin(angle), abs=0.005)
        assert moved[2 * pair + 1] == pytest.approx(x * np.sin(angle) + y * np.cos(angle), abs=0.005)
