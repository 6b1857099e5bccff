"""How well search finds the passages that answer: asked as the product asks, one question after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from rag.evaluation.benchmark import Item
from rag.evaluation.desk import Desk, patiently
from rag.evaluation.ranking import hit, ndcg, recall, reciprocal_rank
from rag.evaluation.record import EXCERPT, Asked, Shown
from rag.retrieval.question import standalone
from rag.types import Passage

DEPTH = 100
SHOWN = 5


async def search_all(desk: Desk, items: Sequence[Item]) -> AsyncIterator[Asked]:
    """Every question with a relevant row, as a stand-alone question where it follows others."""
    for item in items:
        if not item.relevant:
            continue
        passages, seconds = await patiently(partial(search, desk, item))
        scores = scored(desk.ranked(passages), item.relevant) | {"seconds": seconds}
        yield Asked(
            item.id, item.question, scores, item.answers, passages=shown(desk, passages[:SHOWN], item)
        )


async def search(desk: Desk, item: Item) -> tuple[list[Passage], float]:
    """What is found for one question, and in how many seconds."""
    started = desk.clock()
    found = await desk.search(standalone(item.question, item.history), limit=DEPTH)
    return found, desk.clock() - started


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


def shown(desk: Desk, passages: Sequence[Passage], item: Item) -> tuple[Shown, ...]:
    """Passages as a report shows them."""
    return tuple(
        Shown(row, each.title, each.chunk.text[:EXCERPT], each.score, row in item.relevant)
        for each in passages
        for row in [desk.row(each)]
    )
