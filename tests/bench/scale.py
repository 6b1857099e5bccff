"""How the embedded index behaves at size: made-up clustered vectors with terms, no embedder.

Run it as `python tests/bench/scale.py [SIZE] [--full] [--quantisation none|int8|binary]`; SIZE is 100,000,
--full is a million. Numbers of the graph depend on the cores that are free: run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.embedding.sparse import SparseVector
from rag.store.access import Access
from rag.store.edge import EdgePoints, size_of
from rag.store.points import Point, Quantisation
from tests.bench.report import Row, write

DIM, LATENT, BATCH, CHUNKS_PER_VERSION = 384, 48, 1000, 100
TEAMS, QUERIES, TOP, WARM = 100, 300, 10, 30
VOCABULARY, TERMS = 50_000, 40
EVERYONE, ONE_TEAM = Access("bench", ("everyone",)), Access("bench", ("team-7",))

Matrix = NDArray[np.float32]


class Corpus:
    """Vectors around centres in a space of few dimensions, as embeddings are; made anew from the seed."""

    def __init__(self, size: int, seed: int = 7) -> None:
        self.size, self._seed = size, seed
        rng = np.random.default_rng(seed)
        self._centres = rng.normal(size=(max(10, size // 200), LATENT)).astype(np.float32)
        self._spread = rng.normal(size=(LATENT, DIM)).astype(np.float32) / np.sqrt(LATENT)

    def batches(self) -> Iterator[tuple[int, Matrix]]:
        """Index of the first row, and the rows."""
        for start in range(0, self.size, BATCH):
            yield start, self._draw(np.random.default_rng((self._seed, start)), min(BATCH, self.size - start))

    def queries(self) -> Matrix:
        return self._draw(np.random.default_rng((self._seed, -1 % 2**32)), QUERIES)

    def _draw(self, rng: np.random.Generator, count: int) -> Matrix:
        latent = self._centres[rng.integers(len(self._centres), size=count)]
        latent = latent + 0.6 * rng.normal(size=latent.shape).astype(np.float32)
        rows = latent @ self._spread + 0.15 * rng.normal(size=(count, DIM)).astype(np.float32)
        unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


@dataclass
class Exact:
    """The true best of each query, gathered batch by batch."""

    queries: Matrix
    best: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = field(default_factory=list)

    def see(self, rows: Matrix, numbers: NDArray[np.int64]) -> None:
        scores = self.queries @ rows.T
        if self.best:
            scores = np.hstack([self.best[0][0], scores])
            known = np.hstack([self.best[0][1], np.broadcast_to(numbers, (QUERIES, len(numbers)))])
        else:
            known = np.broadcast_to(numbers, (QUERIES, len(numbers)))
        keep = np.argsort(-scores, axis=1)[:, :TOP]
        self.best = [(np.take_along_axis(scores, keep, 1), np.take_along_axis(known, keep, 1))]

    def recall(self, found: Sequence[set[int]]) -> float:
        truth = self.best[0][1]
        return float(
            np.mean(
                [len(each & set(row.tolist())) / len(row) for each, row in zip(found, truth, strict=True)]
            )
        )


def terms_of(rng: np.random.Generator) -> SparseVector:
    """A passage's terms: few common ones, many rare ones."""
    terms = np.unique(np.minimum(rng.zipf(1.3, size=TERMS), VOCABULARY))
    return SparseVector(terms.tolist(), rng.uniform(0.5, 2.0, size=len(terms)).tolist())


def build(store: EdgePoints, corpus: Corpus, truths: dict[Access, Exact]) -> float:
    """Write every point; the seconds that the store took. The true best are found on the way."""
    seconds, rng = 0.0, np.random.default_rng(1)
    for start, rows in corpus.batches():
        numbers = np.arange(start, start + len(rows))
        truths[EVERYONE].see(rows, numbers)
        truths[ONE_TEAM].see(rows[numbers % TEAMS == 7], numbers[numbers % TEAMS == 7])
        points = [
            Point(
                id=str(uuid.UUID(int=number)),
                dense=row,
                sparse=terms_of(rng),
                tenant="bench",
                collection="bench",
                groups=("everyone", f"team-{number % TEAMS}"),
                version=number // CHUNKS_PER_VERSION,
            )
            for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)
        ]
        started = time.perf_counter()
        store.upsert(points)
        if start % 50_000 == 0:
            store.settle([0])
        seconds += time.perf_counter() - started
    return seconds


def search(
    store: EdgePoints, queries: Matrix, access: Access
) -> tuple[list[float], list[float], list[set[int]]]:
    """Milliseconds of the dense leg and of both legs together, and what the dense leg found."""
    rng, one, both, found = np.random.default_rng(2), [], [], []
    for query in queries.tolist():
        terms = terms_of(rng)
        words = SparseVector(terms.indices[-5:], [1.0] * len(terms.indices[-5:]))
        started = time.perf_counter()
        dense, _ = store.search(query, None, access=access, limit=TOP)
        between = time.perf_counter()
        store.search(query, words, access=access, limit=100)
        both.append(1000 * (time.perf_counter() - between))
        one.append(1000 * (between - started))
        found.append({uuid.UUID(key).int for key, _ in dense})
    return one[WARM:], both[WARM:], found


def memory_gb() -> tuple[float, float]:
    """Resident memory that is this process's own, and all of it with the file pages it has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "VmRSS"))}
    return int(sizes["RssAnon"]) / 1e6, int(sizes["VmRSS"]) / 1e6


def measure(size: int, quantisation: Quantisation, folder: Path) -> list[Row]:
    corpus = Corpus(size)
    queries = corpus.queries()
    truths = {access: Exact(queries) for access in (EVERYONE, ONE_TEAM)}
    store = EdgePoints(folder / "edge", dim=DIM, quantisation=quantisation)
    name = f"{size:,} points, {quantisation}"
    rows = [Row(f"{name}: upsert", size / build(store, corpus, truths), "points/s")]
    started = time.perf_counter()
    store.optimize()
    rows.append(Row(f"{name}: optimize", time.perf_counter() - started, "s"))
    for access, of in ((EVERYONE, "all"), (ONE_TEAM, "1 % allowed")):
        one, both, found = search(store, queries, access)
        (p50, p95), both_p95 = np.percentile(one, [50, 95]), np.percentile(both, 95)
        rows += [
            Row(f"{name}: {of}, dense p50", float(p50), "ms"),
            Row(f"{name}: {of}, dense p95", float(p95), "ms", target=10, lower_is_better=True),
            Row(f"{name}: {of}, both legs of 100, p95", float(both_p95), "ms"),
            Row(f"{name}: {of}, recall@10", truths[access].recall(found), "", target=0.95),
        ]
    own, resident = memory_gb()
    rows.append(Row(f"{name}: memory of its own", own, "GB", target=2, lower_is_better=True))
    rows.append(Row(f"{name}: resident with file pages", resident, "GB"))
    rows.append(Row(f"{name}: disk", size_of(folder) / 1e9, "GB"))
    store.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int, nargs="?", default=100_000)
    parser.add_argument("--full", action="store_true", help="a million points")
    parser.add_argument("--quantisation", choices=("none", "int8", "binary"), default="int8")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(1_000_000 if asked.full else asked.size, asked.quantisation, Path(folder))
    write("scale", rows)


if __name__ == "__main__":
    main()
