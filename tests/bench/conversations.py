"""How well a follow-up finds its passages: qa/mtrag_human, the last turn with its history."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import Row, write

from rag.silence import silence

silence()

# Telemetry is silenced before anything heavy is imported.
from question_sets import QA, QuestionSet, load_set, rows_of  # noqa: E402
from retrieval import ndcg, recall  # noqa: E402

from rag.retrieval.question import standalone  # noqa: E402
from rag.retrieval.retriever import Retriever  # noqa: E402
from rag.settings import RetrievalSettings  # noqa: E402
from rag.store.catalog import Catalog  # noqa: E402
from rag.store.index import IndexService  # noqa: E402
from rag.store.queue import Listed, Queue, Shelf  # noqa: E402
from rag.store.vectors import IndexVectors  # noqa: E402
from rag.types import Chunk, Message, Principal  # noqa: E402

SET = "mtrag_human"
READER = Principal("bench", ("everyone",))
Way = tuple[str, Sequence[Message]]


class InProcess:
    """Calls the index service in this process: the same methods, without the pipe."""

    def __init__(self, service: IndexService) -> None:
        self.service = service

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        return getattr(self.service, method)(**args)

    def stream(self, method: str, **args: Any) -> AsyncIterator[Any]:
        raise AssertionError("the index does not stream")


def fill(questions: QuestionSet, catalog: Catalog, service: IndexService) -> None:
    """One document per passage, under the passage's own id."""
    queue = Queue(catalog.database)
    shelf = Shelf.of(READER, "bench", READER.groups, "bench")
    queue.enqueue([Listed(key, key, 1) for key in questions.stored], shelf)
    while claim := queue.claim(lease_s=600):
        stored = questions.stored[claim.uri]
        version = catalog.open_version(
            claim.document_id, title=stored.document.title, media_type="text/plain", pages=1
        )
        assert version
        chunk = Chunk(str(uuid.uuid4()), 0, stored.chunk.text)
        catalog.save_chunks(version, [chunk])
        fields = {"id": chunk.id, "text": chunk.text, "heading": stored.document.title}
        service.upsert(version, READER.tenant, "bench", list(READER.groups), [fields])
        catalog.publish(claim.document_id, version)


def ways_of(row: dict[str, Any]) -> dict[str, Way]:
    """The same turn as it can be asked."""
    history = [Message(turn["role"], turn["text"]) for turn in row["metadata"]["history"]]
    return {
        "the last turn alone": (row["text"], ()),
        "put behind the turns it leans on": (standalone(row["text"], history), ()),
        "rewritten by a person": (row["metadata"].get("rewrite") or row["text"], ()),
        "ours": (row["text"], history),
    }


async def measure(
    retriever: Retriever, questions: QuestionSet
) -> tuple[dict[str, list[tuple[float, float]]], list[int]]:
    """nDCG@10 and recall@10 of every way for every judged turn, and the half each turn is in."""
    scores: dict[str, list[tuple[float, float]]] = {}
    halves = []
    for row in rows_of(QA / SET / "queries.jsonl"):
        if row["_id"] not in questions.relevant:
            continue
        relevant = questions.relevant[row["_id"]]
        halves.append(hashlib.sha256(row["_id"].encode()).digest()[-1] % 2)
        for way, (text, history) in ways_of(row).items():
            found = await retriever.search(text, READER, history=history, limit=10)
            ranked = [passage.uri for passage in found]
            scores.setdefault(way, []).append((ndcg(ranked, relevant), recall(ranked, relevant)))
    return scores, halves


def rows(scores: dict[str, list[tuple[float, float]]], halves: list[int]) -> list[Row]:
    table = []
    half = np.array(halves)
    for column, metric in enumerate(("nDCG@10", "recall@10")):
        means = {way: np.array(values)[:, column] for way, values in scores.items()}
        for way, values in means.items():
            if way != "ours":
                target = 0.85 if metric == "recall@10" else None
                table.append(
                    Row(
                        f"follow-ups {metric}",
                        float(means["ours"].mean()),
                        "",
                        way,
                        float(values.mean()),
                        target,
                    )
                )
        for number in (0, 1):
            own = float(means["ours"][half == number].mean())
            alone = float(means["the last turn alone"][half == number].mean())
            table.append(Row(f"follow-ups {metric}, half {number}", own, "", "the last turn alone", alone))
    return table


def main() -> None:
    if not QA.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set): nothing measured")
    questions = load_set(SET)
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder))
        service = IndexService(folder, {}, {})
        fill(questions, catalog, service)
        retriever = Retriever(IndexVectors(InProcess(service)), catalog, RetrievalSettings())
        scores, halves = asyncio.run(measure(retriever, questions))
        service.close()
        catalog.close()
    write("conversations", rows(scores, halves))


if __name__ == "__main__":
    main()
