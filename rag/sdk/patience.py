"""Waiting for a document that was handed in: when to look again, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from rag.errors import Cancelled, WorkerError, WorkerTimeout
from rag.store.jobs import OPEN, Job
from rag.types import Document, DocumentState

SETTLED = (DocumentState.LIVE, DocumentState.QUARANTINED)
FIRST_LOOK_S, LONGEST_PAUSE_S = 0.1, 1.0


class Patience:
    """Waits longer each time, and not for ever."""

    def __init__(self, timeout_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._timeout_s = clock, timeout_s
        self._deadline, self._pause_s = clock() + timeout_s, FIRST_LOOK_S

    def pause_s(self, job: Job) -> float:
        """Seconds until the next look; 0 when the job is over. Raises WorkerTimeout."""
        if job.state not in OPEN:
            return 0.0
        if self._clock() > self._deadline:
            raise WorkerTimeout(
                f"{job.id} is {job.state} after {self._timeout_s:.0f} s; job({job.id!r}) tells more"
            )
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s


def settled(job: Job, document: Document | None) -> Document:
    """A document whose job is over. Raises Cancelled when the job was, WorkerError when it failed."""
    if document is None:
        raise Cancelled(f"{job.id} was cancelled before the document was read")
    if document.state not in SETTLED:
        raise WorkerError(f"{job.id} ended before the document was read ({job.error or job.state})")
    return document
