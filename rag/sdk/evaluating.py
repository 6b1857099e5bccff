"""An evaluation over HTTP: the questions go to a collection of a server, the scores are counted here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from rag.answering.events import Event
from rag.errors import BadRequest, UnknownModel
from rag.evaluation.benchmark import Benchmark, read_benchmark
from rag.evaluation.desk import Desk, named, unknown
from rag.evaluation.measuring import check_kind, measured
from rag.evaluation.record import Record
from rag.sdk import calls, money
from rag.sdk.knowledge import Kind, Progress
from rag.sdk.retry import Waits
from rag.sdk.steps import Awaits, Runs, Steps
from rag.types import Document, Message, Passage

T = TypeVar("T")


class Streams(Protocol):
    """`AsyncClient.stream`."""

    def __call__(
        self, question: str, *, history: Sequence[Message], collection: str | None, tier: str | None
    ) -> AsyncIterator[Event]: ...


class StreamsAtOnce(Protocol):
    """`Client.stream`."""

    def __call__(
        self, question: str, *, history: Sequence[Message], collection: str | None, tier: str | None
    ) -> Iterator[Event]: ...


@dataclass(frozen=True, kw_only=True)
class ServerDesk(Desk):
    """A collection of a server, asked with the rights of the client's key; times include the network.

    They leave out what the client waited before it sent a refused request again: `waits`.
    """

    run: Awaits
    stream: Streams
    waits: Waits

    async def search(self, question: str, *, limit: int) -> list[Passage]:
        """Passages, best first."""
        return await self.run(calls.search(question, collection=self.collection, limit=limit, filter=""))

    def ask(self, question: str, *, history: Sequence[Message], tier: str | None) -> AsyncIterator[Event]:
        """The events of one answer."""
        return self.stream(question, history=history, collection=self.collection, tier=tier)

    def clock(self) -> float:
        """Seconds in which the client did not wait to try again."""
        return super().clock() - self.waits.seconds


def chosen(dataset: str | Path, kind: str, limit: int | None, seed: int) -> Benchmark:
    """The questions of a folder that will be asked. Raises BadRequest."""
    check_kind(kind)
    return read_benchmark(Path(dataset)).chosen(limit, seed)


async def evaluated(
    url: str,
    run: Awaits,
    stream: Streams,
    benchmark: Benchmark,
    *,
    kind: Kind,
    collection: str | None,
    tier: str | None,
    seed: int,
    progress: Progress | None,
) -> Record:
    """Every question of a data set, put to a collection of the server at `url`."""
    with Waits.counted() as waits:
        rows, bound, currency = await run(opening(url, benchmark, collection))
        assert collection is not None
        desk = ServerDesk(
            collection=collection,
            rows=rows,
            bound=bound,
            currency=currency,
            run=run,
            stream=stream,
            waits=waits,
        )
        return await measured(desk, kind, benchmark, tier=tier, seed=seed, progress=progress)


def opening(
    url: str, benchmark: Benchmark, collection: str | None
) -> Steps[tuple[dict[str, str], dict[str, str], str]]:
    """What has to be known of the server: corpus ids, all that numbers depend on, and the currency.

    Raises BadRequest without a collection, or when the data set means nothing in it; UnknownModel.
    """
    if collection is None:
        raise BadRequest(
            f"the server at {url} is asked about what it holds, not about the corpus of {benchmark.name}: "
            f"name one of its collections, collection=NAME; {(yield from readable())}"
        )
    documents = yield from calls.documents(collection=collection)
    if not documents:
        raise UnknownModel(f"no collection {collection!r} at {url}; {(yield from readable())}")
    rows = meant(benchmark, collection, documents)
    caller, status = (yield from calls.whoami()), (yield from calls.status())
    bound = {
        "server": url,
        "version": status["version"],
        "collection": collection,
        "readers": f"{', '.join(caller.groups)} of {caller.tenant}",
        "embedder": status["embedder"] or "",
        "model": status["model_sha256"],
    }
    books = yield from money.used(since=None, until=None, by=None, mine=True)
    return rows, bound, books.currency


def readable() -> Steps[str]:
    """Which collections may be named."""
    known = yield from calls.collections()
    return f"this key may read {', '.join(map(repr, known)) or 'none yet'}"


def meant(benchmark: Benchmark, collection: str, documents: Sequence[Document]) -> dict[str, str]:
    """Corpus ids by the documents that they mean to the caller; what may be a chunk means itself."""
    wanted = {each for item in benchmark.items for each in item.relevant}
    found = named(documents, wanted)
    found |= {each: each for each in wanted - set(found.values()) if is_id(each)}
    if wanted and not found:
        raise BadRequest(unknown(wanted, collection))
    return found


def is_id(text: str) -> bool:
    """Whether this may be the id of a chunk."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


class AtOnce:
    """The verbs of a client without `async`, to be awaited: each has waited already when it returns."""

    def __init__(self, run: Runs, stream: StreamsAtOnce) -> None:
        self._run, self._stream = run, stream

    async def run(self, steps: Steps[T], /) -> T:
        """Carry steps out."""
        return self._run(steps)

    async def stream(self, question: str, **wishes: Any) -> AsyncIterator[Event]:
        """The events of one answer."""
        for event in self._stream(question, **wishes):
            yield event


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that awaits only what never waits, without a loop.

    An interrupt reaches the request under way, for it is in the caller's own thread.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited for a loop that there is not")
