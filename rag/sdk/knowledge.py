"""The verbs that `Rag` and `Client` share, and what both do in the same way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from rag.assistant import Event
from rag.errors import BadRequest, Cancelled, NotFound, WorkerError, WorkerTimeout
from rag.store.jobs import OPEN, Job
from rag.types import Answer, Document, DocumentState, Message, Passage, Tier
from rag.wire import Receipt

SETTLED = (DocumentState.LIVE, DocumentState.QUARANTINED)
FIRST_LOOK_S, LONGEST_PAUSE_S = 0.1, 1.0


class Knowledge(Protocol):
    """Something that can be searched and asked."""

    def search(self, query: str, *, collection: str | None = None, limit: int | None = None) -> list[Passage]:
        """Passages, best first."""
        ...

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """The whole answer."""
        ...

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer."""
        ...

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        ...

    def upload(
        self,
        what: str | Path | bytes,
        *,
        name: str = "",
        collection: str = "default",
        labels: Sequence[str] = (),
        groups: Sequence[str] = (),
        wait: bool = True,
        timeout_s: float = 600.0,
    ) -> Document:
        """Hand in a file, or bytes with a `name`; the document it became, live or quarantined with a reason.

        The name stands for one document of its collection and readers: sent again it is replaced. Without
        `wait` the document may still be pending; `jobs` tells how far it is.
        """
        ...

    def document(self, document_id: str) -> Document:
        """One document. Raises NotFound, also for one that may not be read."""
        ...

    def delete(self, document_id: str) -> Receipt:
        """Forget a document and the parts in it; what went, and what a look afterwards found."""
        ...

    def jobs(self) -> list[Job]:
        """Runs of ingestion, newest first."""
        ...

    def job(self, job_id: str) -> Job:
        """One run of ingestion. Raises NotFound."""
        ...


@contextmanager
def opened(what: str | Path | bytes, name: str) -> Iterator[tuple[str, BinaryIO]]:
    """What is handed in, as a name and a stream. Raises NotFound, and BadRequest for bytes without a name."""
    if isinstance(what, bytes):
        if not name:
            raise BadRequest("bytes need a name: upload(data, name='notes.txt')")
        yield name, BytesIO(what)
        return
    path = Path(what).expanduser()
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from None
        yield name or path.name, file


def settled(knowledge: Knowledge, job_id: str, document_id: str, timeout_s: float) -> Document:
    """A document when its job is over.

    Raises WorkerTimeout after `timeout_s`, Cancelled when the job was, WorkerError when it failed.
    """
    deadline, pause_s = time.monotonic() + timeout_s, FIRST_LOOK_S
    while (job := knowledge.job(job_id)).state in OPEN:
        if time.monotonic() > deadline:
            raise WorkerTimeout(
                f"{job_id} is {job.state} after {timeout_s:.0f} s; job({job_id!r}) tells more"
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    with contextlib.suppress(NotFound):
        document = knowledge.document(document_id)
        if document.state in SETTLED:
            return document
        raise WorkerError(f"{job_id} ended before the document was read ({job.error or job.state})")
    raise Cancelled(f"{job_id} was cancelled before the document was read")
