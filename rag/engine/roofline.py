"""What this machine could do at best: reading from memory, and multiplying."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

BUFFER = 384 * 2**20  # far more than the caches hold
SIDE = 2048  # of the square matrices that are multiplied
ROUNDS = 4


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
