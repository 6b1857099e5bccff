"""Finds texts that are nearly the same: MinHash over runs of words, small enough to store with each document.

Broder, "On the resemblance and containment of documents" (1997). The signature of a text depends on nothing
but its letters, so it can be compared with one made by another process or machine.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

RUN_WORDS = 2
HASHES = 128
BANDS = 32
ROWS = HASHES // BANDS
ALIKE = 0.4  # from this similarity on two texts are near-duplicates, see tests/bench/chunking.py
BLOCK = 2048  # runs hashed at a time, so that the table of hashes stays in the processor's cache
# Lao and Thai, Burmese, Khmer, kana, ideographs, ideographs again, and what stands for all beyond U+FFFF.
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFFFF, 0xFFFF),
)

Words = NDArray[np.uint64]


def signature(text: str) -> bytes:
    """256 bytes that stand for the set of the runs of two words in a text; empty if it has no word.

    Case, white space and punctuation do not count. In scripts without spaces each letter is a word.
    """
    words = hashed_words(unicodedata.normalize("NFKC", text).lower())
    if not words.size:
        return b""
    runs = words[: max(1, len(words) - RUN_WORDS + 1)].copy()
    for place in range(1, min(RUN_WORDS, len(words))):
        runs = mixed(runs * np.uint64(0x9E3779B97F4A7C15) + words[place : place + len(runs)])
    runs = (runs >> np.uint64(32)).astype(np.uint32)
    if len(runs) > BLOCK:
        runs = np.unique(runs)
    factors, offsets = permutations()
    least = np.full(HASHES, 0xFFFFFFFF, np.uint32)
    for start in range(0, len(runs), BLOCK):
        table = runs[start : start + BLOCK, None] * factors + offsets
        np.minimum(least, table.min(axis=0), out=least)
    return (mixed(least.astype(np.uint64)) >> np.uint64(48)).astype("<u2").tobytes()


def similarity(one: bytes, other: bytes) -> float:
    """Estimate of the Jaccard similarity of two texts' runs of words, in [0, 1], +- 0.04 (one sigma)."""
    if not one or not other:
        return 0.0
    return float(np.mean(np.frombuffer(one, "<u2") == np.frombuffer(other, "<u2")))


def bands(one: bytes) -> tuple[int, ...]:
    """One 32-bit number for each band of a signature; texts with an equal number in a band may be alike.

    Of texts with similarity s a share of 1 - (1 - s**4)**32 meet in a band: 0.13 % at 0.08, 87 % at 0.5.
    """
    if not one:
        return ()
    rows = np.frombuffer(one, "<u2").reshape(BANDS, ROWS).astype(np.uint64)
    keys = mixed((rows << (np.arange(ROWS, dtype=np.uint64) * np.uint64(16))).sum(axis=1, dtype=np.uint64))
    return tuple(int(key) for key in (keys >> np.uint64(32)).astype(np.uint32).view(np.int32))


def hashed_words(text: str) -> Words:
    """A number for each word, the same for the same letters: differences of a running polynomial hash."""
    points = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4")
    letter, alone = (kind[np.minimum(points, 0xFFFF)] for kind in alphabet())
    inside = np.concatenate(([False], letter[:-1] & letter[1:] & ~alone[:-1] & ~alone[1:]))
    starts = np.flatnonzero(letter & ~inside)
    if not starts.size:
        return np.zeros(0, np.uint64)
    values = mixed(points.astype(np.uint64) + np.uint64(1)) * letter
    # Within a word each letter is weighed by its distance from the word's start.
    first = np.zeros(len(points), np.int64)
    first[starts] = starts
    distance = np.arange(len(points)) - np.maximum.accumulate(first)
    values = values * powers()[np.minimum(distance, len(powers()) - 1)]
    return mixed(np.add.reduceat(values, starts))


def mixed(numbers: Words) -> Words:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of the number."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


@cache
def permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Odd factors and offsets of the hash functions x -> a x + b mod 2**32."""
    numbers = mixed(np.arange(1, 2 * HASHES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    halves = (numbers >> np.uint64(32)).astype(np.uint32)
    return halves[:HASHES] | np.uint32(1), halves[HASHES:]


@cache
def powers() -> Words:
    """Powers of an odd number mod 2**64; letters of a word further on than this share the last one."""
    found = np.full(64, 0x9E3779B97F4A7C15 | 1, np.uint64)
    found[0] = 1
    return np.cumprod(found, dtype=np.uint64)


@cache
def alphabet() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of every character up to U+FFFF: whether it is part of a word, and whether it is one by itself.

    Characters beyond count as U+FFFF, a letter that stands alone.
    """
    letter = np.fromiter((chr(point).isalnum() for point in range(0x10000)), bool, 0x10000)
    alone = np.zeros(0x10000, bool)
    for low, high in UNSPACED:
        alone[low : high + 1] = True
    letter[0xFFFF] = True
    return letter, alone
