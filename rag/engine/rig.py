"""A context of llama.cpp to measure in: steps of any size behind any depth, timed. For tuning_trial.py."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any, Literal

import llama_cpp as llama

from rag.engine.devices import offload
from rag.errors import ModelError
from rag.models.header import read_header

DEPTH = 1536  # a question with its passages
SEED = 64  # tokens that are really computed to fill the depth; the rest are copies of their cells
CROWD = 8  # sequences that a step may decode; one more is the one that copies pass through


def layers_on_gpu(path: str, requested: int | Literal["auto", "all"]) -> int:
    """How many layers of a model would go to the GPUs of this machine. Raises ModelError."""
    return offload(read_header(Path(path)), requested, cells=DEPTH).layers if requested else 0


def load(path: str, *, gpu_layers: int, repack: bool) -> Any:
    """A model for rigs, to be freed after them. Raises ModelError."""
    params = llama.llama_model_default_params()
    params.n_gpu_layers = gpu_layers
    params.use_extra_bufts = repack
    model = llama.llama_model_load_from_file(path.encode(), params)
    if not model:
        raise ModelError(f"{path} cannot be loaded by llama.cpp")
    return model


def free(model: Any) -> None:
    llama.llama_model_free(model)


class Rig:
    """One context of a loaded model; after deepen() its sequence 0 holds `depth` tokens."""

    def __init__(self, model: Any, *, flash: bool, threads: int, largest: int) -> None:
        params = llama.llama_context_default_params()
        params.n_ctx = DEPTH + 2 * SEED + largest
        params.n_batch = params.n_ubatch = largest
        params.n_seq_max = CROWD + 1
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = int(flash)
        params.kv_unified = params.no_perf = True
        self.context = llama.llama_init_from_model(model, params)
        if not self.context:
            raise ModelError("no context to measure in")
        self.memory = llama.llama_get_memory(self.context)
        self.batch = llama.llama_batch_init(largest, 0, 1)
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        self.depth = 0

    def close(self) -> None:
        llama.llama_batch_free(self.batch)
        llama.llama_free(self.context)

    def read(self, tokens: int, *, threads: int = 0) -> float:
        """Seconds of one step of so many prompt tokens behind the depth."""
        return self._step([(0, self.depth + at, at == tokens - 1) for at in range(tokens)], threads)

    def decode(self, sequences: int = 1, *, threads: int = 0) -> float:
        """Seconds of one step in which so many sequences, all behind the same tokens, say one."""
        for other in range(1, sequences):
            llama.llama_memory_seq_cp(self.memory, 0, other, 0, self.depth)
        seconds = self._step([(sequence, self.depth, True) for sequence in range(sequences)], threads)
        for other in range(1, sequences):
            llama.llama_memory_seq_rm(self.memory, other, -1, -1)
        return seconds

    def deepen(self) -> None:
        """Fill sequence 0 with the cells of SEED computed tokens, over and over: no step is slower for it."""
        self._fill([(0, position, False) for position in range(SEED)])
        self._compute()
        self.depth = SEED
        size = llama.llama_state_seq_get_size(self.context, 0)
        blob = (ctypes.c_uint8 * size)()
        llama.llama_state_seq_get_data(self.context, blob, size, 0)
        while self.depth < DEPTH and llama.llama_memory_can_shift(self.memory):
            if not llama.llama_state_seq_set_data(self.context, blob, size, CROWD):
                raise ModelError("the KV of a sequence cannot be copied")
            llama.llama_memory_seq_add(self.memory, CROWD, 0, -1, self.depth)
            llama.llama_memory_seq_cp(self.memory, CROWD, 0, -1, -1)
            llama.llama_memory_seq_rm(self.memory, CROWD, -1, -1)
            self.depth += SEED
        self.decode()  # the copies are turned to their positions in this one

    def empty(self) -> None:
        """Back to the beginning of a prompt."""
        llama.llama_memory_seq_rm(self.memory, 0, -1, -1)
        self.depth = 0

    def _step(self, entries: list[tuple[int, int, bool]], threads: int) -> float:
        if threads:
            llama.llama_set_n_threads(self.context, threads, threads)
        self._fill(entries)
        began = time.perf_counter()
        self._compute()
        seconds = time.perf_counter() - began
        for sequence in {sequence for sequence, _, _ in entries}:
            llama.llama_memory_seq_rm(self.memory, sequence, self.depth, -1)
        return seconds

    def _fill(self, entries: list[tuple[int, int, bool]]) -> None:
        batch = self.batch
        for at, (sequence, position, output) in enumerate(entries):
            # Different tokens, or a mixture of experts would read only the few that one token takes.
            batch.token[at] = (position * 7919 + sequence * 104729 + 31) % self.vocabulary
            batch.pos[at], batch.n_seq_id[at] = position, 1
            batch.seq_id[at][0], batch.logits[at] = sequence, output
        batch.n_tokens = len(entries)

    def _compute(self) -> None:
        if status := llama.llama_decode(self.context, self.batch):
            raise ModelError(f"llama.cpp could not compute a step (status {status})")
        llama.llama_synchronize(self.context)
