"""The verbs that `Rag` and `Client` share; `AsyncClient` has the same ones to be awaited."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

from rag.answering.events import Event
from rag.errors import BadRequest, NotFound
from rag.sdk.money import Money
from rag.sdk.talks import Talks
from rag.store.jobs import Job
from rag.types import Answer, Chunk, Document, Message, Passage, Principal, Tier
from rag.wire import Receipt

if TYPE_CHECKING:
    from rag.evaluation.record import Record

Side = Literal["query", "document"]
Kind = Literal["retrieval", "answers"]  # what an evaluation measures
Progress = Callable[[int, int], None]  # how many are done, of how many


class Knowledge(Protocol):
    """Something that can be searched and asked.

    `filter` narrows to documents such as `label:policy language:de date:2023..`; `max_cost` is money in the
    currency of the settings, above which a question is answered cheaper or refused (BudgetExceeded).
    `conversation`: id of a kept conversation, or `new`; its turns are the history, and the answer joins them.
    """

    @property
    def conversations(self) -> Talks:
        """The kept conversations, and feedback."""
        ...

    @property
    def money(self) -> Money:
        """Usage and budgets."""
        ...

    def search(
        self, query: str, *, collection: str | None = None, limit: int | None = None, filter: str = ""
    ) -> list[Passage]:
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
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
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
        filter: str = "",
        max_cost: float | None = None,
        conversation: str | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer."""
        ...

    def embed(self, texts: Sequence[str], *, side: Side = "document") -> list[list[float]]:
        """A vector of length one for each text, as the index embeds documents or questions."""
        ...

    def collections(self) -> list[str]:
        """Names of the collections that hold a document that may be read."""
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

    def chunks(self, document_id: str) -> list[Chunk]:
        """The text of a document's live version, piece by piece. Raises NotFound."""
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

    def pause_job(self, job_id: str) -> Job:
        """Let its documents wait; those in work are finished. Raises NotFound; BadRequest when it is over."""
        ...

    def resume_job(self, job_id: str) -> Job:
        """Let a paused run go on. Raises NotFound; BadRequest when it is over."""
        ...

    def cancel_job(self, job_id: str) -> Job:
        """End a run; what it published stays. Raises NotFound; BadRequest when it is over."""
        ...

    def retry_job(self, job_id: str) -> Job:
        """Try again what a run has quarantined. Raises NotFound."""
        ...

    def prioritise_job(self, job_id: str, priority: int) -> Job:
        """Let what it has still to do go before that of runs with a lower one; 0 is usual. Raises NotFound;
        BadRequest when it is over."""
        ...

    def evaluate(
        self,
        dataset: str | Path,
        *,
        kind: Kind = "retrieval",
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
        seed: int = 1,
        progress: Progress | None = None,
    ) -> Record:
        """How well search finds what answers, or how right whole answers are, over a folder of questions.

        `limit` of them are drawn with `seed`; `progress` is told after each how many are done, of how many.
        The record says what its numbers depend on. Raises BadRequest for a data set that cannot be measured.
        """
        ...

    def whoami(self) -> Principal:
        """Who asks: tenant, groups, rights, collections."""
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
