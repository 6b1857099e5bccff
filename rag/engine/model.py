"""A model file under llama.cpp: tokens, batches and KV cells. The only importer of llama_cpp."""

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

from rag.engine.sequence import Copy, Move, Share, Trim
from rag.errors import DecodeError, ModelError

LOG_LEVEL_WARN = 3
GROWTH = 64  # a tokeniser may need a few more tokens than there are bytes


class Model:
    """One loaded model with one context of `n_ctx` KV cells that `max_sequences` slots share.

    Belongs to one thread. Raises ModelError if the file or the sizes cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        n_ctx: int,
        batch_tokens: int,
        max_sequences: int,
        threads: int,
        gpu_layers: int = 0,
        use_extra_bufts: bool = True,
    ) -> None:
        self._said: deque[str] = deque(maxlen=5)
        self._log = llama.llama_log_callback(self._on_log)
        llama.llama_log_set(self._log, ctypes.c_void_p(0))
        self._model: Any = None
        self._context: Any = None
        load = _model_params(gpu_layers, use_extra_bufts)
        self._model = llama.llama_model_load_from_file(str(path).encode(), load)
        if not self._model:
            raise ModelError(f"{path} cannot be loaded by llama.cpp: {self._last_words()}")
        params = _context_params(n_ctx, batch_tokens, max_sequences, threads)
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(f"no context of {n_ctx} cells: {self._last_words()}; lower engine.n_ctx")
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(batch_tokens, 0, 1)
        self.vocabulary: int = llama.llama_vocab_n_tokens(self._vocab)
        self.cells: int = llama.llama_n_ctx(self._context)
        self.context: int = min(self.cells, llama.llama_model_n_ctx_train(self._model))

    def close(self) -> None:
        """Give everything back to the system; the model is of no use afterwards."""
        if self._context:
            llama.llama_batch_free(self._batch)
            llama.llama_free(self._context)
        if self._model:
            llama.llama_model_free(self._model)
        self._context = self._model = None

    def tokens(self, text: str, *, control: bool) -> list[int]:
        """Tokens of a text. Without `control`, text that spells a control token stays ordinary text."""
        data = text.encode("utf-8", "replace")  # a lone surrogate would be invalid UTF-8
        room = len(data) + GROWTH
        buffer = (llama.llama_token * room)()
        count = llama.llama_tokenize(self._vocab, data, len(data), buffer, room, False, control)
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
        return bool(llama.llama_vocab_is_eog(self._vocab, token) or self.is_control(token))

    def is_control(self, token: int) -> bool:
        return bool(llama.llama_vocab_is_control(self._vocab, token))

    def decode(self, shares: Sequence[Share]) -> list[NDArray[np.float32]]:
        """Compute one batch; the logits of each share with `output`: views valid until the next call."""
        batch, at = self._batch, 0
        outputs: list[int] = []
        for share in shares:
            for offset, token in enumerate(share.tokens):
                batch.token[at] = token
                batch.pos[at] = share.start + offset
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = share.slot
                batch.logits[at] = 0
                at += 1
            if share.output:
                batch.logits[at - 1] = 1
                outputs.append(at - 1)
        batch.n_tokens = at
        if status := llama.llama_decode(self._context, batch):
            raise DecodeError(
                f"llama.cpp could not compute a step (status {status}) {self._last_words()}".strip()
            )
        return [self._logits(index) for index in outputs]

    def move(self, move: Move) -> None:
        """Change what a slot holds."""
        match move:
            case Trim(slot, keep):
                llama.llama_memory_seq_rm(self._memory, slot, keep, -1)
            case Copy(source, target, length):
                llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def describe(self) -> dict[str, Any]:
        """What runs: llama.cpp's words for the model and the build."""
        buffer = ctypes.create_string_buffer(256)
        llama.llama_model_desc(self._model, buffer, len(buffer))
        return {
            "description": buffer.value.decode(),
            "parameters": llama.llama_model_n_params(self._model),
            "bytes": llama.llama_model_size(self._model),
            "n_ctx": self.cells,
            "context": self.context,
            "vocabulary": self.vocabulary,
            "build": f"llama-cpp-python {llama.__version__}",
            "system": llama.llama_print_system_info().decode().strip(" |"),
            "gpu": bool(llama.llama_supports_gpu_offload()),
        }

    def _logits(self, index: int) -> NDArray[np.float32]:
        pointer = llama.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        size = llama.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[:size]

    def _on_log(self, level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level >= LOG_LEVEL_WARN and (line := text.decode("utf-8", "replace").strip(" .\n")):
            self._said.append(line)

    def _last_words(self) -> str:
        words = "; ".join(self._said)
        self._said.clear()
        return words


def _model_params(gpu_layers: int, use_extra_bufts: bool) -> Any:
    params = llama.llama_model_default_params()
    params.n_gpu_layers = gpu_layers  # -1: all
    params.use_extra_bufts = use_extra_bufts
    return params


def _context_params(n_ctx: int, batch_tokens: int, max_sequences: int, threads: int) -> Any:
    params = llama.llama_context_default_params()
    params.n_ctx = n_ctx
    params.n_batch = params.n_ubatch = batch_tokens
    params.n_seq_max = max_sequences
    params.n_threads = params.n_threads_batch = threads
    # Off is 2.4 times faster at decode behind a long prompt on CPU, and answers from documents are that.
    params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.kv_unified = True
    params.no_perf = True
    return params
