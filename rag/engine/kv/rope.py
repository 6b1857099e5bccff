"""Moving keys to other positions: rotary embedding is a rotation by position, so a move is one more rotation.

RoPE (Su et al. 2021, arXiv 2104.09864): the pair i of a head is turned by position * base^(-2i/dims). The
turn is made in the saved block, with one angle for the whole of it: llama.cpp's own shift would go over the
cache of everybody, and reserve its graph again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.engine.kv.layout import Block, Shape

F16 = 1  # ggml's number of the type


@dataclass(frozen=True, slots=True)
class Rope:
    """How a model rotates: `dims` of each head of `head_size`, as neighbours or (`halves`) half a head apart.

    `factors` divide the frequency of each pair, as long-context models have them.
    """

    head_size: int
    dims: int
    base: float
    scale: float = 1.0
    halves: bool = False
    factors: tuple[float, ...] = ()

    def moved(self, block: Block, shape: Shape, start: int) -> Block:
        """The block as if its first token stood at position `start`; K must be F16."""
        if start == block.start:
            return block
        turn = self._turn(start - block.start)
        moved = np.empty_like(block.k, order="C")
        for layer in range(shape.layers):  # a layer at a time stays in the processor's cache
            keys = np.ascontiguousarray(block.k[layer]).view(np.float16).astype(np.float32)
            heads = keys.reshape(len(keys), -1, self.head_size)
            self._rotate(heads[..., : self.dims], turn)
            moved[layer] = keys.astype(np.float16).view(np.uint8)
        return Block(start, moved, block.v)

    def _turn(self, distance: int) -> NDArray[np.complex64]:
        pairs = np.arange(self.dims // 2)
        angles = distance * self.scale * self.base ** (-2.0 * pairs / self.dims)
        if self.factors:
            angles /= np.asarray(self.factors)
        turn: NDArray[np.complex64] = np.exp(1j * angles).astype(np.complex64)
        return turn

    def _rotate(self, heads: NDArray[np.float32], turn: NDArray[np.complex64]) -> None:
        if not self.halves and self.dims == self.head_size:
            heads.view(np.complex64)[:] *= turn
            return
        half = self.dims // 2
        first, second = (
            (heads[..., :half], heads[..., half:]) if self.halves else (heads[..., 0::2], heads[..., 1::2])
        )
        kept = first.copy()
        first *= turn.real
        first -= second * turn.imag
        second *= turn.real
        second += kept * turn.imag
