"""One evaluation of whatever can be asked: every question put, judged, and kept as a record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import get_args

from rag.errors import BadRequest
from rag.evaluation.answers import answer_all
from rag.evaluation.benchmark import Benchmark
from rag.evaluation.desk import Desk
from rag.evaluation.record import Asked, Record
from rag.evaluation.retrieval import search_all
from rag.sdk.knowledge import Kind, Progress


def check_kind(kind: str) -> None:
    """Raises BadRequest for what cannot be measured."""
    if kind not in (known := get_args(Kind)):
        raise BadRequest(f"kind {kind!r} cannot be measured; have {', '.join(known)}")


async def measured(
    desk: Desk,
    kind: Kind,
    benchmark: Benchmark,
    *,
    tier: str | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> Record:
    """How well search finds what answers, or how right whole answers are and what they cost.

    `progress` is told after every question how many are done, of how many. Raises BadRequest when nothing
    can be scored.
    """
    asked: list[Asked] = []
    total = sum(kind == "answers" or bool(item.relevant) for item in benchmark.items)
    async with aclosing(questions(desk, kind, benchmark, tier)) as each:  # type: ignore[type-var]
        async for one in each:
            asked.append(one)
            if progress:
                progress(len(asked), total)
    if not asked:
        raise BadRequest(
            f"no question of {benchmark.name} has a relevant passage: qrels.tsv has to name them"
        )
    bound = {"dataset": benchmark.sha256, **desk.bound}
    if models := sorted({one.model for one in asked if one.model}):
        bound["models"] = ", ".join(models)
    return Record(kind, benchmark.name, bound, tuple(asked), seed, currency=desk.currency)


def questions(desk: Desk, kind: Kind, benchmark: Benchmark, tier: str | None) -> AsyncIterator[Asked]:
    """Every question of a data set, as it is measured."""
    if kind == "retrieval":
        return search_all(desk, benchmark.items)
    return answer_all(desk, benchmark.items, tier)
