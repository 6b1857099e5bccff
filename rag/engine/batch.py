"""The arrays of one llama.cpp batch, laid out once and filled whole rows at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp as llama
import numpy as np

from rag.engine.sequence import Share


class Batch:
    """Room for `capacity` tokens. `native` is what llama_decode takes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._slots = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._wanted = np.zeros(capacity, np.int8)
        # Every token belongs to one sequence: its list of sequences is one cell of `_slots`.
        step = self._slots.itemsize
        self._lists = np.arange(capacity, dtype=np.uint64) * step + self._slots.ctypes.data
        self.native = _native(self)

    def fill(self, shares: Sequence[Share]) -> dict[int, range]:
        """Write the shares, in order; for every slot the rows whose logits are wanted."""
        rows: dict[int, range] = {}
        at = 0
        for share in shares:
            end = at + len(share.tokens)
            self._tokens[at:end] = share.tokens
            self._positions[at:end] = np.arange(share.start, share.start + len(share.tokens))
            self._slots[at:end] = share.slot
            self._wanted[at:end] = 0
            self._wanted[end - share.outputs : end] = 1
            rows[share.slot] = range(end - share.outputs, end)
            at = end
        self.native.n_tokens = at
        return rows


def _native(batch: Batch) -> Any:
    native = llama.llama_batch()
    native.n_tokens = 0
    native.token = batch._tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    native.pos = batch._positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    native.n_seq_id = batch._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    native.seq_id = ctypes.cast(batch._lists.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
    native.logits = batch._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
    return native
