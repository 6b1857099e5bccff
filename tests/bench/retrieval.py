"""How well and how fast search finds passages, on every question set of the developer set."""

from __future__ import annotations

import hashlib
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
from report import Row, write

from rag.silence import silence

silence()

# Telemetry is silenced before anything heavy is imported.
from question_sets import QA, QuestionSet, load_set, vectors_of  # noqa: E402

from rag.embedding.dense import DenseEmbedder  # noqa: E402
from rag.embedding.sparse import SparseEncoder, SparseVector  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from rag.retrieval.fusion import Fused, fuse, weigh  # noqa: E402
from rag.retrieval.ranking import rank  # noqa: E402
from rag.retrieval.retriever import CANDIDATES  # noqa: E402
from rag.retrieval.scope import Scope  # noqa: E402
from rag.settings import RetrievalSettings  # noqa: E402
from rag.store.access import Access  # noqa: E402
from rag.store.edge import EdgePoints  # noqa: E402
from rag.store.points import Hits, Point  # noqa: E402

LEG_LIMIT = RetrievalSettings().leg_limit
BASE_WEIGHT = RetrievalSettings().dense_weight
SETS = ("hotpotqa", "mtrag_human", "sec10q", "squad2", "tatqa", "xquad_multilingual")


@dataclass(frozen=True)
class Found:
    """What both legs found for one question (`words`: BM25 without pairs), the ranking, and what it took."""

    question: str
    dense: Hits
    words: Hits
    ranking: list[str]
    relevant: set[str]
    seconds: float


def search_all(questions: QuestionSet, embedder: DenseEmbedder) -> list[Found]:
    """Index the passages in an embedded store and ask every question, embedding included in the time."""
    encoder = SparseEncoder()
    with tempfile.TemporaryDirectory() as folder:
        store = EdgePoints(Path(folder) / "edge", dim=embedder.dim)
        fill(
            store, questions, vectors_of(list(questions.passages.values()), questions.name, embedder), encoder
        )
        found = [search(store, questions, key, embedder, encoder) for key in questions.questions]
        store.close()
    return found


def fill(store: EdgePoints, questions: QuestionSet, vectors: np.ndarray, encoder: SparseEncoder) -> None:
    points = [
        Point(
            id=str(uuid.UUID(int=index)),
            dense=vector.tolist(),
            sparse=encoder.encode_document(text),
            tenant="bench",
            collection="bench",
            groups=("everyone",),
            version=1,
        )
        for index, (text, vector) in enumerate(zip(questions.passages.values(), vectors, strict=True))
    ]
    for start in range(0, len(points), 256):
        store.upsert(points[start : start + 256])


def search(
    store: EdgePoints, questions: QuestionSet, key: str, embedder: DenseEmbedder, encoder: SparseEncoder
) -> Found:
    """As the product does, and once more for BM25 of the words alone."""
    ids, text = list(questions.passages), questions.questions[key]
    access = Access("bench", ("everyone",))

    def named(hits: Hits) -> Hits:
        return [(ids[uuid.UUID(hit).int], score) for hit, score in hits]

    started = time.perf_counter()
    terms = encoder.encode_query(text)
    legs = store.search(embedder.embed_query(text).tolist(), terms, access=access, limit=LEG_LIMIT)
    dense, sparse = map(named, legs)
    fused = fuse(dense, sparse, weight=weigh(text, BASE_WEIGHT, ("en",)).weight, limit=LEG_LIMIT)
    ranking = ranked(text, fused, questions)
    seconds = time.perf_counter() - started
    words = store.search(None, without_pairs(terms), access=access, limit=LEG_LIMIT)[1]
    return Found(text, dense, named(words), ranking, questions.relevant[key], seconds)


def ranked(text: str, fused: list[Fused], questions: QuestionSet) -> list[str]:
    found = [(hit, questions.stored[hit.id]) for hit in fused[:CANDIDATES]]
    return [candidate.hit.id for candidate in rank(text, Scope.of(text), found)]


def without_pairs(terms: SparseVector) -> SparseVector:
    """The words of a question, which weigh 1."""
    words = [index for index, value in zip(terms.indices, terms.values, strict=True) if value == 1.0]
    return SparseVector(words, [1.0] * len(words))


def rrf(found: Found) -> list[str]:
    """Reciprocal rank fusion, k = 60."""
    scores: dict[str, float] = defaultdict(float)
    for leg in (found.dense, found.words):
        for place, (key, _) in enumerate(leg, start=1):
            scores[key] += 1 / (60 + place)
    return sorted(scores, key=lambda key: -scores[key])


def dbsf(found: Found) -> list[str]:
    """Distribution-based score fusion, dense weight 0.3: (s - (mean - 3 sd)) / (6 sd), weighted, summed."""
    scores: dict[str, float] = defaultdict(float)
    for leg, weight in ((found.dense, 0.3), (found.words, 0.7)):
        values = np.array([score for _, score in leg])
        for key, score in leg:
            scores[key] += weight * (score - values.mean() + 3 * values.std()) / (6 * (values.std() or 1.0))
    return sorted(scores, key=lambda key: -scores[key])


WAYS: dict[str, Callable[[Found], list[str]]] = {
    "bm25": lambda found: [key for key, _ in found.words],
    "dense": lambda found: [key for key, _ in found.dense],
    "rrf": rrf,
    "dbsf 0.3": dbsf,
    "ours": lambda found: found.ranking,
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
            way: float(np.mean([metric(order(each), each.relevant) for each in found]))
            for way, order in WAYS.items()
        }
        for metric in (ndcg, recall)
    }
    leg = max(("bm25", "dense"), key=lambda way: scores["ndcg"][way])
    halves = [half(name, found, number) for number in (0, 1)]
    rows = [
        Row(f"{name} {label}", values["ours"], "", way, values[way], values[leg] if way == leg else None)
        for label, values in (("nDCG@10", scores["ndcg"]), ("recall@10", scores["recall"]))
        for way in WAYS
        if way != "ours"
    ]
    rows += [row for pair in halves for row in pair]
    p50, p95 = np.percentile([1000 * each.seconds for each in found], [50, 95])
    rows.append(Row(f"{name} search p50, in process", float(p50), "ms", target=100, lower_is_better=True))
    rows.append(Row(f"{name} search p95, in process", float(p95), "ms", target=200, lower_is_better=True))
    return rows, scores["ndcg"]


def half(name: str, found: list[Found], number: int) -> list[Row]:
    """nDCG@10 of the questions whose hash is even or odd, beside the better leg of that half."""
    chosen = [each for each in found if hashlib.sha256(each.question.encode()).digest()[-1] % 2 == number]
    means = {way: float(np.mean([ndcg(WAYS[way](each), each.relevant) for each in chosen])) for way in WAYS}
    leg = max(("bm25", "dense"), key=lambda way: means[way])
    return [Row(f"{name} nDCG@10, half {number}", means["ours"], "", leg, means[leg], means[leg])]


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
    print(f"Search is timed in one process (embedding, both legs, ranking), {LEG_LIMIT} candidates a leg.")


if __name__ == "__main__":
    main()
