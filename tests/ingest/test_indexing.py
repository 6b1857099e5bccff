"""Documents on their way into the index side by side: how many, and which go alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ingest.indexing import CHUNKS_AT_ONCE, Room
from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.errors import DiskFull

Run = Callable[..., Summary]


def test_documents_enter_in_their_order_while_their_chunks_fit() -> None:
    async def story() -> None:
        room, entered = Room(10), []

        async def enter(name: str, chunks: int, *, alone: bool = False) -> None:
            taken = await room.enter(chunks, alone=alone)
            entered.append(name)
            await gates[name].wait()
            await room.leave(taken)

        gates = {name: asyncio.Event() for name in ("small", "empty", "huge", "tiny", "suspect", "last")}
        wanted = [("small", 9, False), ("empty", 0, False), ("huge", 500, False), ("tiny", 1, False)]
        wanted += [("suspect", 1, True), ("last", 1, False)]
        tasks = [asyncio.create_task(enter(name, chunks, alone=alone)) for name, chunks, alone in wanted]
        seen = []
        for name in ("small", "empty", "huge", "tiny", "suspect", "last"):
            await asyncio.sleep(0.01)
            seen.append(list(entered))
            gates[name].set()
        await asyncio.gather(*tasks)
        assert seen[0] == ["small", "empty"], "and the huge one waits for both, the tiny one for the huge one"
        assert seen[1] == ["small", "empty"]
        assert seen[2] == ["small", "empty", "huge"]
        assert seen[3] == ["small", "empty", "huge", "tiny"], "the suspect one waits until nobody is there"
        assert seen[4][-1] == "suspect" and "last" not in seen[4]

    asyncio.run(story())


def test_many_small_documents_are_stored_side_by_side(run: Run, docs: Path, vectors: Any) -> None:
    for number in range(30):
        (docs / f"note-{number}.txt").write_text(f"Note {number}.")
    vectors.delay_s = 0.5
    summary = run(docs)
    assert summary.published == 32
    assert 3 < vectors.most_at_once <= CHUNKS_AT_ONCE


def test_nothing_is_claimed_after_the_end_of_a_run(
    run: Run, docs: Path, vectors: Any, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run ends over one document while its reader takes the next: any later run finds that one waiting."""
    claim, calls, released = pipeline.queue.claim, count(), threading.Event()
    release = pipeline.queue.release

    def slowly(**options: Any) -> Any:
        if next(calls):  # the second one is under way when the first document fails
            released.wait(3.0)
        return claim(**options)

    vectors.failures = [DiskFull("100 MB free")]
    with monkeypatch.context() as patched:
        patched.setattr(pipeline.queue, "claim", slowly)
        patched.setattr(pipeline.queue, "release", lambda: (release(), released.set()))
        with pytest.raises(DiskFull):
            run(docs)
    other = docs.parent / "other"
    other.mkdir()
    assert run(other).published == 2, "what an earlier run left, though this one lists nothing"


def test_a_document_that_failed_is_stored_alone(run: Run, docs: Path, vectors: Any) -> None:
    """Whatever ends the index over one document must not be counted against those beside it."""
    for number in range(30):
        (docs / f"note-{number}.txt").write_text(f"Note {number}.")
    vectors.delay_s = 0.02
    vectors.poison = "Note 7."
    summary = run(docs)
    ((uri, reason),) = summary.quarantined
    assert uri.endswith("note-7.txt") and reason.startswith("3 attempts failed")
    assert summary.published == 31
    assert vectors.beside_the_poison[1:] == [0, 0], "the first time it was among others"
