"""The state of one sequence as llama.cpp writes it, cut into blocks of tokens and spliced from them.

Format (llama.cpp, llama_kv_cache::state_write): magic u32, sequence i32, number of streams u32, then for
every stream the number of its cells u32 and, if there are any: per cell position i32, 1 u32, sequence i32;
V-is-transposed u32, layers u32; per layer K type i32, bytes of a row u64, the rows; per layer V likewise or,
transposed: type i32, bytes of an element u32, channels u32, and a row of all cells for every channel.
The format carries no model and no version: that is for whoever keeps blocks to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from rag.errors import ModelError

Bytes = NDArray[np.uint8]
CELL = np.dtype([("position", "<i4"), ("sequences", "<u4"), ("sequence", "<i4")])
LAYER_HEAD = 24  # the two headers of a layer


@dataclass(frozen=True, slots=True)
class Shape:
    """What all cells of a context have in common; sizes in bytes.

    `v_size` is that of an element, of which there are `v_width`, when V is transposed; else of a row, and 1.
    """

    magic: int
    streams: int
    layers: int
    k_type: int
    k_row: int
    v_type: int
    v_size: int
    v_width: int
    transposed: bool

    @property
    def token_bytes(self) -> int:
        """KV of one token."""
        return self.layers * (self.k_row + self.v_size * self.v_width)


@dataclass(frozen=True, slots=True)
class Block:
    """KV of consecutive tokens, the first at position `start`.

    `k` is [layers, tokens, k_row]; `v` is [layers, v_width, tokens * v_size] if transposed, else
    [layers, tokens, v_size]; both bytes.
    """

    start: int
    k: Bytes
    v: Bytes

    @property
    def tokens(self) -> int:
        return int(self.k.shape[1])

    @property
    def bytes(self) -> int:
        return self.k.nbytes + self.v.nbytes

    def part(self, shape: Shape, begin: int, end: int) -> Block:
        """A view of tokens `begin` to `end` of it."""
        if shape.transposed:
            values = self.v[:, :, begin * shape.v_size : end * shape.v_size]
        else:
            values = self.v[:, begin:end]
        return Block(self.start + begin, self.k[:, begin:end], values)


class State:
    """A state blob, parsed. Raises ModelError for a cache whose layers differ, which is not cut."""

    def __init__(self, blob: Bytes) -> None:
        self._blob, self._at = blob, 0
        magic, _, streams = self._number(4), self._number(4), self._number(4)
        empty = 0
        while not (cells := self._number(4)):
            empty += 1
            if empty == streams:
                raise ModelError("the state of an empty sequence has no layout")
        table = self._take(cells * CELL.itemsize).view(CELL)
        self.positions: NDArray[np.int32] = table["position"].copy()
        transposed, layers = bool(self._number(4)), self._number(4)
        keys = [self._keys(cells) for _ in range(layers)]
        values = [self._values(cells, transposed) for _ in range(layers)]
        if len({key[:2] for key in keys}) > 1 or len({value[:3] for value in values}) > 1:
            raise ModelError("the layers of this model keep KV of different sizes")
        if len(blob) - self._at != 4 * (streams - 1 - empty):
            raise ModelError("this model keeps more than one kind of KV (a sliding window, perhaps)")
        self.shape = Shape(magic, streams, layers, *keys[0][:2], *values[0][:3], transposed)
        self._k, self._v = [key[2] for key in keys], [value[3] for value in values]

    def cut(self, start: int, end: int) -> Block:
        """A copy of the KV of positions `start` to `end`."""
        if np.array_equal(self.positions[start:end], np.arange(start, end)) and len(self.positions) >= end:
            at: slice | NDArray[np.int64] = slice(start, end)
        else:  # cells may lie in another order than positions
            where = {int(position): cell for cell, position in enumerate(self.positions)}
            at = np.array([where[position] for position in range(start, end)])
        k = np.stack([key[at] for key in self._k])
        if not self.shape.transposed:
            return Block(start, k, np.stack([value[at] for value in self._v]))
        wide = (self.shape.v_width, len(self.positions), self.shape.v_size)
        v = np.stack([value.reshape(wide)[:, at] for value in self._v])
        return Block(start, k, v.reshape(self.shape.layers, self.shape.v_width, -1))

    def _keys(self, cells: int) -> tuple[int, int, Bytes]:
        kind, row = self._number(4), self._number(8)
        return kind, row, self._take(cells * row).reshape(cells, row)

    def _values(self, cells: int, transposed: bool) -> tuple[int, int, int, Bytes]:
        kind = self._number(4)
        if not transposed:
            row = self._number(8)
            return kind, row, 1, self._take(cells * row).reshape(cells, row)
        size, width = self._number(4), self._number(4)
        return kind, size, width, self._take(width * cells * size).reshape(width, cells * size)

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size).tobytes(), "little")

    def _take(self, size: int) -> Bytes:
        part = self._blob[self._at : self._at + size]
        if len(part) < size:
            raise ModelError("this model's KV has a form that is not known here")
        self._at += size
        return part


def state_bytes(shape: Shape, tokens: int) -> int:
    """Size of the state of a sequence of that many tokens."""
    head = 12 + 4 * shape.streams + 8
    return head + tokens * (CELL.itemsize + shape.token_bytes) + shape.layers * LAYER_HEAD


class Splicer:
    """Builds the state of a sequence from blocks."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def splice(self, blocks: Sequence[Block], buffer: Bytes) -> Bytes:
        """One sequence of positions 0, 1, … from blocks in order, whatever positions they were computed at.

        Written to the beginning of `buffer`, which is worth keeping: page faults cost more than copies.
        """
        shape, total = self.shape, sum(block.tokens for block in blocks)
        out = buffer[: state_bytes(shape, total)]
        begins = [0, *accumulate(block.tokens for block in blocks)]
        at = self._head(out, total)
        for layer in range(shape.layers):
            at = _put(out, at, _u(shape.k_type, 4) + _u(shape.k_row, 8))
            rows = out[at : at + total * shape.k_row].reshape(total, shape.k_row)
            for block, begin in zip(blocks, begins, strict=False):
                rows[begin : begin + block.tokens] = block.k[layer]
            at += rows.size
        for layer in range(shape.layers):
            at = self._put_values(out, at, layer, blocks, begins)
        return out

    def _head(self, out: Bytes, total: int) -> int:
        at = _put(out, 0, _u(self.shape.magic, 4) + _u(0, 4) + _u(self.shape.streams, 4) + _u(total, 4))
        cells = np.zeros(total, CELL)
        cells["position"], cells["sequences"] = np.arange(total), 1
        at = _put(out, at, cells.tobytes())
        # The other streams are empty; they come after this one.
        out[len(out) - 4 * (self.shape.streams - 1) :] = 0
        return _put(out, at, _u(self.shape.transposed, 4) + _u(self.shape.layers, 4))

    def _put_values(
        self, out: Bytes, at: int, layer: int, blocks: Sequence[Block], begins: Sequence[int]
    ) -> int:
        shape, total = self.shape, begins[-1]
        if not shape.transposed:
            at = _put(out, at, _u(shape.v_type, 4) + _u(shape.v_size, 8))
            rows = out[at : at + total * shape.v_size].reshape(total, shape.v_size)
            for block, begin in zip(blocks, begins, strict=False):
                rows[begin : begin + block.tokens] = block.v[layer]
            return at + rows.size
        at = _put(out, at, _u(shape.v_type, 4) + _u(shape.v_size, 4) + _u(shape.v_width, 4))
        size = total * shape.v_size
        columns = out[at : at + shape.v_width * size].reshape(shape.v_width, size)
        for block, begin in zip(blocks, begins, strict=False):
            begin_byte = begin * shape.v_size
            columns[:, begin_byte : begin_byte + block.tokens * shape.v_size] = block.v[layer]
        return at + columns.size


def _u(value: int, size: int) -> bytes:
    return int(value).to_bytes(size, "little")


def _put(out: Bytes, at: int, data: bytes) -> int:
    out[at : at + len(data)] = np.frombuffer(data, np.uint8)
    return at + len(data)
