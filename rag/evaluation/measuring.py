"""One evaluation from beginning to end: the documents opened, every question asked, a record of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from functools import partial

from rag.errors import BadRequest
from rag.evaluation.answers import answer_all
from rag.evaluation.benchmark import Benchmark, Item
from rag.evaluation.library import Library, Progress, opened
from rag.evaluation.record import Asked, Record
from rag.evaluation.retrieval import search_all
from rag.models.gates import Binding
from rag.settings import Settings
from rag.types import Tier

Measure = Callable[[Library, Sequence[Item]], AsyncIterator[Asked]]


async def searched(settings: Settings, benchmark: Benchmark, *, collection: str | None, seed: int) -> Record:
    """How well search finds what answers. Raises BadRequest when nothing can be scored."""
    return await measured(
        settings, "retrieval", search_all, benchmark, collection=collection, seed=seed, generation=False
    )


async def answered(
    settings: Settings, benchmark: Benchmark, *, tier: str | None, collection: str | None, seed: int
) -> Record:
    """How right whole answers are, and what they cost. Raises BadRequest when nothing can be scored."""
    return await measured(
        settings,
        "answers",
        partial(answer_all, tier=tier),
        benchmark,
        collection=collection,
        seed=seed,
        generation=(tier or settings.answering.tier) != Tier.EXTRACT,
    )


async def measured(
    settings: Settings,
    kind: str,
    measure: Measure,
    benchmark: Benchmark,
    *,
    collection: str | None,
    seed: int,
    generation: bool,
    reading: Progress = lambda done, total: None,
    asking: Progress = lambda done, total: None,
) -> Record:
    """Every question asked of a collection, or of the data set's own corpus; `generation`: a model will be
    needed. `reading` and `asking` are told how far it is. Raises BadRequest when nothing can be scored."""
    async with opened(
        settings, benchmark, collection=collection, generation=generation, progress=reading
    ) as library:
        asked: list[Asked] = []
        async for one in measure(library, benchmark.items):
            asked.append(one)
            asking(len(asked), len(benchmark.items))
        bound = {"dataset": benchmark.sha256, **asdict(Binding.of(library.system.model, settings))}
    if not asked:
        raise BadRequest(
            f"no question of {benchmark.name} has a relevant passage: qrels.tsv has to name them"
        )
    return Record(kind, benchmark.name, bound, tuple(asked), seed, currency=settings.cost.currency)
