"""How well and how fast search finds passages, on every question set of the developer set."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import OUT, ROOT, Row, write

from rag.silence import silence

silence()

# Telemetry is silenced before anything heavy is imported.
from rag.embedding.dense import DenseEmbedder  # noqa: E402
from rag.embedding.sparse import SparseEncoder  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from rag.retrieval.fusion import fuse, weigh  # noqa: E402
from rag.settings import RetrievalSettings  # noqa: E402
from rag.store.access import Access  # noqa: E402
from rag.store.edge import EdgePoints  # noqa: E402
from rag.store.points import Point  # noqa: E402

LEG_LIMIT = RetrievalSettings().leg_limit
BASE_WEIGHT = RetrievalSettings().dense_weight
QA = ROOT.parent / "shared" / "data" / "dev_set" / "qa"
SETS = ("hotpotqa", "mtrag_human", "sec10q", "squad2", "tatqa", "xquad_multilingual")


@dataclass(frozen=True)
class QuestionSet:
    """One set: passages, questions, and which passages answer which question."""

    name: str
    passages: dict[str, str]
    questions: dict[str, str]
    relevant: dict[str, set[str]]


def load_set(name: str) -> QuestionSet:
    """The judged questions of a set; a follow-up is asked in its stand-alone form."""
    folder = QA / name
    relevant: dict[str, set[str]] = defaultdict(set)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant[row["query-id"]].add(row["corpus-id"])
    passages = {row["_id"]: f"{row['title']}\n{row['text']}" for row in rows_of(folder / "corpus.jsonl")}
    questions = {
        row["_id"]: row["metadata"].get("rewrite") or row["text"]
        for row in rows_of(folder / "queries.jsonl")
        if row["_id"] in relevant
    }
    return QuestionSet(name, passages, questions, dict(relevant))


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def vectors_of(texts: list[str], label: str, embedder: DenseEmbedder) -> np.ndarray:
    """One vector per text, kept in out/ under the hash of what they were made from."""
    made_from = "\0".join([embedder.name, embedder.dtype, *texts])
    path = OUT / f"vectors-{label}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.npy"
    if path.exists():
        return np.load(path)
    started = time.perf_counter()
    vectors = embedder.embed_documents(texts)
    print(
        f"{label}: embedded {len(texts)} in {time.perf_counter() - started:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    OUT.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


@dataclass(frozen=True)
class Found:
    """What both legs found for one question, and what it took."""

    question: str
    dense: list[tuple[str, float]]
    sparse: list[tuple[str, float]]
    relevant: set[str]
    seconds: float


def search_all(questions: QuestionSet, embedder: DenseEmbedder) -> list[Found]:
    """Index the passages in an embedded store and ask every question, embedding included in the time."""
    encoder = SparseEncoder()
    texts, ids = list(questions.passages.values()), list(questions.passages)
    vectors = vectors_of(texts, questions.name, embedder)
    with tempfile.TemporaryDirectory() as folder:
        store = EdgePoints(Path(folder) / "edge", dim=embedder.dim)
        for start in range(0, len(texts), 256):
            store.upsert(
                [
                    Point(
                        id=str(uuid.UUID(int=index)),
                        dense=vectors[index].tolist(),
                        sparse=encoder.encode_document(texts[index]),
                        tenant="bench",
                        collection="bench",
                        groups=("everyone",),
                        version=1,
                    )
                    for index in range(start, min(start + 256, len(texts)))
                ]
            )
        found = []
        for key, text in questions.questions.items():
            started = time.perf_counter()
            legs = store.search(
                embedder.embed_query(text).tolist(),
                encoder.encode_query(text),
                access=Access("bench", ("everyone",)),
                limit=LEG_LIMIT,
            )
            fuse(*legs, weight=weigh(text, BASE_WEIGHT).weight, limit=LEG_LIMIT)
            seconds = time.perf_counter() - started
            dense, sparse = ([(ids[uuid.UUID(hit).int], score) for hit, score in leg] for leg in legs)
            found.append(Found(text, dense, sparse, questions.relevant[key], seconds))
        store.close()
    return found


def ours(found: Found) -> list[str]:
    weight = weigh(found.question, BASE_WEIGHT).weight
    return [hit.id for hit in fuse(found.dense, found.sparse, weight=weight, limit=LEG_LIMIT)]


def rrf(found: Found) -> list[str]:
    """Reciprocal rank fusion, k = 60."""
    scores: dict[str, float] = defaultdict(float)
    for leg in (found.dense, found.sparse):
        for rank, (key, _) in enumerate(leg, start=1):
            scores[key] += 1 / (60 + rank)
    return sorted(scores, key=lambda key: -scores[key])


def dbsf(found: Found) -> list[str]:
    """Distribution-based score fusion, dense weight 0.3: (s - (mean - 3 sd)) / (6 sd), weighted, summed."""
    scores: dict[str, float] = defaultdict(float)
    for leg, weight in ((found.dense, 0.3), (found.sparse, 0.7)):
        values = np.array([score for _, score in leg])
        for key, score in leg:
            scores[key] += weight * (score - values.mean() + 3 * values.std()) / (6 * (values.std() or 1.0))
    return sorted(scores, key=lambda key: -scores[key])


WAYS: dict[str, Callable[[Found], list[str]]] = {
    "bm25": lambda found: [key for key, _ in found.sparse],
    "dense": lambda found: [key for key, _ in found.dense],
    "rrf": rrf,
    "dbsf 0.3": dbsf,
    "ours": ours,
}


def ndcg(ranked: list[str], relevant: set[str]) -> float:
    """nDCG@10 with binary gains."""
    gain = sum(1 / math.log2(place + 2) for place, key in enumerate(ranked[:10]) if key in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(10, len(relevant))))


def recall(ranked: list[str], relevant: set[str]) -> float:
    """recall@10."""
    return len(set(ranked[:10]) & relevant) / len(relevant)


def measure(name: str, embedder: DenseEmbedder) -> tuple[list[Row], dict[str, float]]:
    """The rows of one set, and nDCG@10 of every way."""
    found = search_all(load_set(name), embedder)
    scores = {
        metric.__name__: {
            way: float(np.mean([metric(rank(each), each.relevant) for each in found]))
            for way, rank in WAYS.items()
        }
        for metric in (ndcg, recall)
    }
    leg = max(("bm25", "dense"), key=lambda way: scores["ndcg"][way])
    rows = [
        Row(f"{name} {label}", values["ours"], "", way, values[way], values[leg] if way == leg else None)
        for label, values in (("nDCG@10", scores["ndcg"]), ("recall@10", scores["recall"]))
        for way in WAYS
        if way != "ours"
    ]
    p50, p95 = np.percentile([1000 * each.seconds for each in found], [50, 95])
    rows.append(Row(f"{name} search p50, in process", float(p50), "ms", target=100, lower_is_better=True))
    rows.append(Row(f"{name} search p95, in process", float(p95), "ms", target=200, lower_is_better=True))
    return rows, scores["ndcg"]


def main() -> None:
    if not QA.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set): nothing measured")
    pinned = entry("all-minilm-l6-v2")
    embedder = DenseEmbedder(locate(pinned), name=pinned.name)
    embedder.embed_query("warm")
    rows: list[Row] = []
    averages: dict[str, list[float]] = defaultdict(list)
    for name in SETS:
        measured, by_way = measure(name, embedder)
        rows += measured
        for way, value in by_way.items():
            averages[way].append(value)
    mean = {way: float(np.mean(values)) for way, values in averages.items()}
    rows += [
        Row(
            "mean of sets nDCG@10",
            mean["ours"],
            "",
            way,
            mean[way],
            mean["dbsf 0.3"] if way == "dbsf 0.3" else None,
        )
        for way in WAYS
        if way != "ours"
    ]
    write("retrieval", rows)
    print(f"Search is timed in one process (embedding, both legs, fusion), {LEG_LIMIT} candidates a leg.")


if __name__ == "__main__":
    main()
