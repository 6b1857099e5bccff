"""How long a search takes at 10,000 chunks, from the question to the passages, embedding included.

Catalog, index and embedder are the real ones, in one process. The texts are those of the developer set; the
vectors of the passages are random, since the time does not depend on what they say.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from report import Row, write

from rag.silence import silence

silence()

# Telemetry is silenced before anything heavy is imported.
from conversations import READER, InProcess  # noqa: E402
from question_sets import QA, load_set  # noqa: E402

from rag.embedding.sparse import SparseEncoder  # noqa: E402
from rag.retrieval.retriever import Retriever  # noqa: E402
from rag.settings import RetrievalSettings  # noqa: E402
from rag.store.catalog import Catalog  # noqa: E402
from rag.store.index import IndexService  # noqa: E402
from rag.store.points import Point  # noqa: E402
from rag.store.queue import Listed, Queue, Shelf  # noqa: E402
from rag.store.vectors import IndexVectors  # noqa: E402
from rag.types import Chunk  # noqa: E402

CHUNKS, CHUNKS_PER_DOCUMENT, QUESTIONS = 10_000, 50, 300
SETS = ("hotpotqa", "squad2", "tatqa")


def fill(texts: list[str], catalog: Catalog, service: IndexService) -> None:
    """`CHUNKS` chunks in documents of fifty."""
    rng, encoder = np.random.default_rng(7), SparseEncoder()
    queue, shelf = Queue(catalog.database), Shelf.of(READER, "bench", READER.groups, "bench")
    queue.enqueue([Listed(f"/{n}.md", str(n), 1) for n in range(CHUNKS // CHUNKS_PER_DOCUMENT)], shelf)
    source = cycle(texts)
    while claim := queue.claim(lease_s=600):
        version = catalog.open_version(claim.document_id, title=claim.uri, media_type="text/plain", pages=1)
        assert version
        chunks = [
            Chunk(str(uuid.uuid4()), ordinal, text)
            for ordinal, text in enumerate(islice(source, CHUNKS_PER_DOCUMENT))
        ]
        catalog.save_chunks(version, chunks)
        service._points.upsert(
            [
                Point(
                    id=chunk.id,
                    dense=rng.normal(size=384).tolist(),
                    sparse=encoder.encode_document(chunk.text),
                    tenant=READER.tenant,
                    collection="bench",
                    groups=READER.groups,
                    version=version,
                )
                for chunk in chunks
            ]
        )
        catalog.publish(claim.document_id, version)


async def times(retriever: Retriever, questions: list[str]) -> list[tuple[float, float]]:
    """Milliseconds of each search on the clock and of CPU, the first ones left out."""
    taken = []
    for question in questions:
        started, worked = time.perf_counter(), time.process_time()
        await retriever.search(question, READER)
        taken.append((1000 * (time.perf_counter() - started), 1000 * (time.process_time() - worked)))
    return taken[5:]


def main() -> None:
    if not QA.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set): nothing measured")
    sets = [load_set(name) for name in SETS]
    texts = [text for each in sets for text in each.passages.values()]
    asked = [text for each in sets for text in each.questions.values()]
    with tempfile.TemporaryDirectory() as folder:
        catalog, service = Catalog(Path(folder)), IndexService(folder, {}, {})
        fill(texts, catalog, service)
        retriever = Retriever(IndexVectors(InProcess(service)), catalog, RetrievalSettings())
        load = os.getloadavg()[0]
        taken = asyncio.run(times(retriever, asked[:: max(1, len(asked) // QUESTIONS)]))
        service.close()
        catalog.close()
    (p50, cpu_p50), (p95, cpu_p95) = np.percentile(np.array(taken), [50, 95], axis=0)
    label = f"search among {CHUNKS:,} chunks"
    rows = [
        Row(f"{label}, p50", float(p50), "ms", lower_is_better=True),
        Row(f"{label}, p95", float(p95), "ms", target=40, lower_is_better=True),
        Row(f"{label}, CPU p50", float(cpu_p50), "ms", lower_is_better=True),
        Row(f"{label}, CPU p95", float(cpu_p95), "ms", lower_is_better=True),
    ]
    write("search_latency", rows)
    print(f"load average {load:.1f} when it began; take the figures from a quiet machine")


if __name__ == "__main__":
    main()
