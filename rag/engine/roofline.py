"""What this machine could do at best, measured, and what share of it a model reaches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from rag.models.gguf import read
from rag.models.header import describe

BUFFER = 384 * 2**20  # far more than the caches hold
SIDE = 2048  # of the square matrices that are multiplied
ROUNDS = 4
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sustained reading from memory in GB/s, and float32 matrix products in GFLOP/s."""

    bandwidth_gbs: float
    gflops: float


def measure(threads: int, *, buffer_bytes: int = BUFFER, side: int = SIDE) -> Limits:
    """The limits with so many threads reading; numpy's BLAS takes as many as it likes for the products."""
    return Limits(round(bandwidth(threads, buffer_bytes), 2), round(flops(side), 1))


def bandwidth(threads: int, buffer_bytes: int = BUFFER) -> float:
    """GB/s of the best of a few walks through a buffer, cut into one part per thread."""
    buffer = np.ones(buffer_bytes // 8, np.int64)
    parts = np.array_split(buffer, threads)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            # A maximum reads as fast as memory gives; a sum of integers is bound by the additions.
            list(pool.map(np.max, parts))
            best = min(best, time.perf_counter() - began)
    return buffer.nbytes / best / 1e9


def flops(side: int = SIDE) -> float:
    """GFLOP/s of the best of a few float32 products of square matrices."""
    left = np.full((side, side), 0.5, np.float32)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best / 1e9


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model costs: bytes of weights that a decode step of one sequence reads, parameters that a token
    of a prompt is multiplied with, and bytes of KV (16 bit) of a token."""

    step_bytes: int
    prompt_parameters: int
    kv_bytes: int

    def bandwidth_share(self, decode_tps: float, depth: int, bandwidth_gbs: float) -> float:
        """MBU = (weights + depth * KV) * tokens/s / bandwidth."""
        return (self.step_bytes + depth * self.kv_bytes) * decode_tps / (bandwidth_gbs * 1e9)

    def compute_share(self, prefill_tps: float, gflops: float) -> float:
        """MFU = 2 * parameters * tokens/s / FLOP/s, without the products of attention itself.

        Above 1 it means that llama.cpp's integer kernels beat float32.
        """
        return 2 * self.prompt_parameters * prefill_tps / (gflops * 1e9)


def footprint(path: Path) -> Footprint:
    """The footprint of a GGUF file, from its header. Raises ModelError if it is none."""
    gguf = read(path)
    header = describe(gguf)
    active = header.experts_used / header.experts if header.experts else 1.0
    tied = not any(tensor.name == OUTPUT for tensor in gguf.tensors)
    step = parameters = 0.0
    for tensor in gguf.tensors:
        part = active if "_exps." in tensor.name else 1.0
        if tensor.name != EMBEDDING or tied:  # of an untied embedding a step reads one row
            step += part * tensor.bytes
        # The last product is made for the last token of a prompt only.
        if len(tensor.shape) > 1 and tensor.name not in (EMBEDDING, OUTPUT):
            parameters += part * prod(tensor.shape)
    return Footprint(round(step), round(parameters), header.kv_bytes_per_token)
