"""A model file under llama.cpp: tokens, batches and KV cells."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from rag.engine.batch import Batch
from rag.engine.grammar import barred_tokens
from rag.engine.mapping import drop_pages
from rag.engine.sequence import Share
from rag.errors import DecodeError, ModelError

LOG_LEVEL_WARN = 3
MOST_DRAFTED = 15  # tokens beside the newest one that a sequence may have checked in one step
ROPE_TYPES = {llama.LLAMA_ROPE_TYPE_NORM: "norm", llama.LLAMA_ROPE_TYPE_NEOX: "neox"}
GROWTH = 64  # a tokeniser may need a few more tokens than there are bytes


SAID: deque[str] = deque(maxlen=5)


def _listen(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level >= LOG_LEVEL_WARN and (line := text.decode("utf-8", "replace").strip(" .\n")):
        SAID.append(line)


# llama.cpp has one log for the whole process and goes on calling whoever listened last, so this never goes.
LISTENER = llama.llama_log_callback(_listen)


def last_words() -> str:
    """What llama.cpp warned of since this was last asked."""
    words = "; ".join(SAID)
    SAID.clear()
    return words


class Model:
    """One loaded model with a context of `slots` streams of `context` KV cells each.

    Streams are apart (kv_unified off): attention then runs over a sequence's own cells only, which at 8 users
    of 1,280 tokens decodes 1.6 times faster. Belongs to one thread. Raises ModelError if the file or the
    sizes cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        context: int,
        slots: int,
        micro_batch: int,
        threads: int,
        batch_threads: int = 0,
        flash_attention: bool = False,
        gpu_layers: int = 0,
        repack: bool = True,
    ) -> None:
        llama.llama_log_set(LISTENER, ctypes.c_void_p(0))
        self._model: Any = None
        self._context: Any = None
        load = _model_params(gpu_layers, repack)
        self._model = llama.llama_model_load_from_file(str(path).encode(), load)
        if not self._model:
            raise ModelError(f"{path} cannot be loaded by llama.cpp: {last_words()}")
        # A slot holds what it was asked for, but never more than the model was trained for.
        self.context = min(context, llama.llama_model_n_ctx_train(self._model))
        self.slots, self.flash_attention = slots, flash_attention
        step = 2 * micro_batch + slots * (1 + MOST_DRAFTED)
        params = _context_params(self.context * slots, slots, step, micro_batch, flash_attention)
        params.n_threads, params.n_threads_batch = threads, batch_threads or threads
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            sizes = f"{slots} slots of {self.context} cells"
            raise ModelError(f"no context of {sizes}: {last_words()}; lower engine.context or engine.slots")
        drop_pages(Path(path))
        self.vocab = llama.llama_model_get_vocab(self._model)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = Batch(step)
        self._scratch = np.empty(0, np.uint8)
        self.vocabulary: int = llama.llama_vocab_n_tokens(self.vocab)

    def close(self) -> None:
        """Give everything back to the system; the model is of no use afterwards."""
        if self._context:
            llama.llama_free(self._context)
        if self._model:
            llama.llama_model_free(self._model)
        self._context = self._model = None

    def tokens(self, text: str, *, control: bool) -> list[int]:
        """Tokens of a text. Without `control`, text that spells a control token stays ordinary text."""
        data = text.encode("utf-8", "replace")  # a lone surrogate would be invalid UTF-8
        room = len(data) + GROWTH
        buffer = (llama.llama_token * room)()
        count = llama.llama_tokenize(self.vocab, data, len(data), buffer, room, False, control)
        if count < 0:
            raise ModelError(f"a text of {len(data)} bytes could not be cut into tokens")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes of one token, which may be part of a character; empty for a control token."""
        return self.pieces[token]

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of every token."""
        return [self._piece(token) for token in range(self.vocabulary)]

    @cached_property
    def longest_piece(self) -> int:
        """Bytes of the longest token: a text of n bytes has at least n / longest_piece tokens."""
        return max(len(piece) for piece in self.pieces)

    def ends(self, token: int) -> bool:
        """Whether a generated token ends the turn: end of generation, or any control token."""
        return bool(llama.llama_vocab_is_eog(self.vocab, token) or self.is_control(token))

    @cached_property
    def barred(self) -> NDArray[np.bool_]:
        """Tokens that no grammar may use."""
        return barred_tokens(self.vocab, self.vocabulary)

    @cached_property
    def endings(self) -> frozenset[int]:
        """Every token that ends a turn."""
        return frozenset(token for token in range(self.vocabulary) if self.ends(token))

    def text(self, token: int) -> str:
        """One token as text; half a character shows as a replacement sign."""
        return self.pieces[token].decode("utf-8", "replace")

    def is_control(self, token: int) -> bool:
        return bool(llama.llama_vocab_is_control(self.vocab, token))

    def decode(self, shares: Sequence[Share]) -> list[list[NDArray[np.float32]]]:
        """Compute one batch; for each share its `outputs` rows of logits: views valid until the next call."""
        # llama.cpp computes neighbouring streams in one pass only if they come in order.
        rows = self._batch.fill(sorted(shares, key=lambda share: share.slot))
        if status := llama.llama_decode(self._context, self._batch.native):
            raise DecodeError(f"llama.cpp could not compute a step (status {status}) {last_words()}".strip())
        return [self._logits(rows[share.slot]) for share in shares]

    def trim(self, slot: int, keep: int) -> None:
        """Forget what a slot holds from position `keep` on."""
        llama.llama_memory_seq_rm(self._memory, slot, keep, -1)

    def save(self, slot: int) -> NDArray[np.uint8]:
        """The state of a slot: a view valid until the next save or restore."""
        size = llama.llama_state_seq_get_size(self._context, slot)
        buffer = self.scratch(size)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = llama.llama_state_seq_get_data(self._context, pointer, size, slot)
        return buffer[:written]

    def restore(self, slot: int, state: NDArray[np.uint8]) -> None:
        """Replace what a slot holds. Raises DecodeError if llama.cpp refuses the state."""
        pointer = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if not llama.llama_state_seq_set_data(self._context, pointer, state.nbytes, slot):
            self.trim(slot, 0)
            raise DecodeError(f"llama.cpp refused a state of {state.nbytes} bytes: {last_words()}")

    def scratch(self, size: int) -> NDArray[np.uint8]:
        """A buffer that is kept, for states on their way."""
        if len(self._scratch) < size:
            self._scratch = np.zeros(size, np.uint8)
        return self._scratch

    @property
    def can_shift(self) -> bool:
        """Whether llama.cpp allows KV of this architecture to be moved to other positions."""
        return bool(llama.llama_memory_can_shift(self._memory))

    @property
    def rope_type(self) -> str:
        """Which dimensions of a key turn together: "norm", "neox", or the number of another way."""
        kind = llama.llama_model_rope_type(self._model)
        return ROPE_TYPES.get(kind, str(kind))

    def describe(self) -> dict[str, Any]:
        """What runs: llama.cpp's words for the model and the build."""
        buffer = ctypes.create_string_buffer(256)
        llama.llama_model_desc(self._model, buffer, len(buffer))
        return {
            "description": buffer.value.decode(),
            "parameters": llama.llama_model_n_params(self._model),
            "bytes": llama.llama_model_size(self._model),
            "context": self.context,
            "slots": self.slots,
            "flash_attention": self.flash_attention,
            "vocabulary": self.vocabulary,
            "build": f"llama-cpp-python {llama.__version__}",
            "system": llama.llama_print_system_info().decode().strip(" |"),
            "gpu": bool(llama.llama_supports_gpu_offload()),
        }

    def _logits(self, rows: range) -> list[NDArray[np.float32]]:
        size = (self.vocabulary,)
        return [
            np.ctypeslib.as_array(llama.llama_get_logits_ith(self._context, row), shape=size) for row in rows
        ]

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        size = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:size]


def _model_params(gpu_layers: int, repack: bool) -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers = gpu_layers  # -1: all
    params.use_extra_bufts = repack
    return params


def _context_params(cells: int, slots: int, step: int, micro_batch: int, flash_attention: bool) -> Any:
    params = llama.llama_context_default_params()
    params.n_ctx = cells
    params.n_batch, params.n_ubatch = step, micro_batch
    params.n_seq_max = slots
    # Off is faster at decode behind a long prompt on CPU, and answers from documents are that (rag doctor).
    params.flash_attn_type = (
        llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.kv_unified = False
    params.no_perf = True
    return params
