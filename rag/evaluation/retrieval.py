"""How well search finds the passages that answer: asked as the product asks, one question after another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from rag.evaluation.benchmark import Item
from rag.evaluation.library import Library, patiently
from rag.evaluation.ranking import hit, ndcg, recall, reciprocal_rank
from rag.evaluation.record import EXCERPT, Asked, Shown
from rag.retrieval.question import standalone
from rag.types import Passage

DEPTH = 100
SHOWN = 5


async def search_all(library: Library, items: Sequence[Item]) -> AsyncIterator[Asked]:
    """Every question with a relevant row, as a stand-alone question where it follows others."""
    for item in items:
        if not item.relevant:
            continue
        passages, seconds = await patiently(partial(search, library, item))
        scores = scored(library.ranked(passages), item.relevant) | {"seconds": seconds}
        yield Asked(
            item.id, item.question, scores, item.answers, passages=shown(library, passages[:SHOWN], item)
        )


async def search(library: Library, item: Item) -> tuple[list[Passage], float]:
    """What is found for one question, and in how many seconds."""
    system = library.system
    started = time.perf_counter()
    question = standalone(item.question, item.history)
    found = await system.retriever.search(
        question, system.principal, collection=library.collection, limit=DEPTH
    )
    return found, time.perf_counter() - started


def scored(ranked: Sequence[str], relevant: Mapping[str, int]) -> dict[str, float]:
    """Every measure of one ranking."""
    found = {
        "ndcg@10": ndcg(ranked, relevant),
        "recall@10": recall(ranked, relevant, 10),
        "recall@100": recall(ranked, relevant, 100),
        "mrr": reciprocal_rank(ranked, relevant),
        "hit@1": float(hit(ranked, relevant)),
    }
    # Where it takes several passages together, all of them are needed.
    return found | ({"all@10": float(found["recall@10"] == 1.0)} if len(relevant) > 1 else {})


def shown(library: Library, passages: Sequence[Passage], item: Item) -> tuple[Shown, ...]:
    """Passages as a report shows them."""
    return tuple(
        Shown(row, each.title, each.chunk.text[:EXCERPT], each.score, row in item.relevant)
        for each in passages
        for row in [library.row(each)]
    )
