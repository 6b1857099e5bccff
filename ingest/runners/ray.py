"""Ray as the runner: readers and embedders on every node of a cluster. The only importer of Ray.

The catalog stays the queue and this process its worker: it claims, hands the heavy part of each document to
actors, and publishes. So a node that dies takes nothing along but calls; they fail here and are counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from ingest.indexing import Read
from ingest.runners.layout import Layout, layout
from ingest.runners.local import parse_config, patience_s
from ingest.runners.nodes import Asked, IndexNode, ParseNode
from ingest.runners.runner import Runner
from rag.errors import LimitExceeded, Overloaded, SettingsError, WorkerDied, from_wire
from rag.settings import IngestSettings, Settings
from rag.silence import silence
from rag.store.generations import Generation
from rag.store.indexes import Indexes, index_worker
from rag.store.originals import Originals
from rag.store.vectors import IndexVectors

PATIENCE_S = 120.0  # without any actor alive: as long as a node may take to come back
RETRY_S = 1.0
KNOCK_S = 5.0
LEAVE_S = 5.0


@dataclass(frozen=True, slots=True)
class Distributed:
    """What a pipeline is given to work on a cluster. `at_once`: how many documents are embedded at a time."""

    indexes: Indexes
    runner: Callable[[IngestSettings, Path, Path], Runner]
    at_once: int = 1


@asynccontextmanager
async def distributed(
    settings: Settings, indexes: Indexes, *, address: str = ""
) -> AsyncIterator[Distributed]:
    """A connected cluster. `indexes`, the processes on this machine, stay in use without a Qdrant server."""
    with cluster(address):
        has = ray.cluster_resources()
        plan = layout(
            int(has.get("CPU", 0)),
            int(has.get("GPU", 0)),
            server=bool(settings.store.url),
            readers=settings.ingest.parse_workers,
        )
        runner = partial(RayRunner, readers=plan.readers)
        if not plan.embedders:
            yield Distributed(indexes, runner)
            return
        embedding = RayIndexes(settings, plan)
        try:
            yield Distributed(embedding, runner, plan.embedders)
        finally:
            await embedding.close()


@contextmanager
def cluster(address: str = "") -> Iterator[None]:
    """Ray, connected; a cluster of our own on this machine when there is none and no address is given.

    Raises SettingsError when nobody answers there. Who is connected already stays so.
    """
    if ray.is_initialized():
        yield
        return
    silence()  # before Ray looks whether it may report its use
    try:
        knock(address)
        ray.init(address=address or None, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}; start one with "
            "`ray start --head`, or leave --address out"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """Raises OSError where nobody listens; Ray itself would try for minutes. Its own words (auto) pass."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


class Pool:
    """Actors of one kind. Each serves one caller at a time; one that died rests until it is up again.

    Open it on the event loop that will use it. Ray starts a dead actor again on any node that has room.
    """

    def __init__(self, start: Callable[[], Any], size: int) -> None:
        self._actors = [start() for _ in range(size)]
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        self._alive, self._trouble = 0, ""
        self._waking = {asyncio.create_task(self._wake(actor)) for actor in self._actors}

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Any]:
        """An actor for ourselves. Raises WorkerDied when it dies meanwhile, Overloaded when none is alive."""
        actor = await self._next()
        try:
            yield actor
        except RayError as error:
            self._rest(actor)
            raise WorkerDied(f"a worker on a node of the cluster is gone: {gist(error)}") from None
        except BaseException:
            self._free.put_nowait(actor)
            raise
        self._free.put_nowait(actor)

    async def close(self) -> None:
        """End all actors; those that answer first remove what they have on disk."""
        for task in (waking := list(self._waking)):
            task.cancel()
        await asyncio.gather(*waking, return_exceptions=True)
        leaving = [asyncio.wait_for(actor.close.remote(), LEAVE_S) for actor in self._actors]
        await asyncio.gather(*leaving, return_exceptions=True)
        for actor in self._actors:
            ray.kill(actor)

    async def _next(self) -> Any:
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    actor = await self._free.get()
            except TimeoutError:
                if not self._alive:
                    raise self._deserted() from None
                continue
            try:
                # One that died while nobody used it must not cost a document one of its tries.
                await actor.ping.remote()
                return actor
            except RayError:
                self._rest(actor)

    def _rest(self, actor: Any) -> None:
        self._alive -= 1
        self._waking.add(task := asyncio.create_task(self._wake(actor)))
        task.add_done_callback(self._waking.discard)

    def _deserted(self) -> Overloaded:
        trouble = f": {self._trouble}" if self._trouble else ""
        return Overloaded(
            f"the Ray cluster has had no room for our workers for {PATIENCE_S:g} s{trouble}; "
            "`ray status` shows what it has"
        )

    async def _wake(self, actor: Any) -> None:
        """Hand an actor out again as soon as it answers."""
        while True:
            try:
                self._trouble = await actor.ping.remote()
            except RayError as error:
                self._trouble = gist(error)
            if not self._trouble:
                break
            await asyncio.sleep(RETRY_S)
        self._alive += 1
        self._free.put_nowait(actor)


class RayRunner(Runner):
    """Reads on the nodes. A file that a node does not see is sent to it, and what is inside comes back."""

    def __init__(self, settings: IngestSettings, home: Path, model: Path, *, readers: int) -> None:
        self.workers = readers
        self._settings = settings
        self._config = parse_config(settings, model)
        self._originals = Originals(home)
        self._pool: Pool | None = None
        self._users = 0

    @asynccontextmanager
    async def reader(self, number: int) -> AsyncIterator[Read]:
        """Any free reader for each document; the last one out ends them all."""
        self._pool = self._pool or Pool(self._start, self.workers)
        self._users += 1
        try:
            yield self._read
        finally:
            self._users -= 1
            if not self._users:
                pool, self._pool = self._pool, None
                await pool.close()

    async def _read(self, path: Path, name: str, known_sha256: str, reader: str = "") -> dict[str, Any]:
        assert self._pool
        asked = await asyncio.to_thread(Asked.of, path, name, known_sha256, reader)
        async with self._pool.one() as actor:
            reply = await actor.read.remote(asked)
            if "absent" in reply:
                if asked.size > self._settings.max_file_bytes:
                    raise LimitExceeded(f"{asked.size} bytes, the limit is {self._settings.max_file_bytes}")
                reply = await actor.read.remote(asked, await asyncio.to_thread(path.read_bytes))
            result: dict[str, Any] = result_of(reply)
            for part in result.get("parts", ()):
                await self._bring(part["sha256"], actor)
            return result

    async def _bring(self, sha256: str, actor: Any) -> None:
        """Keep the bytes of a part here, where the documents are given out from."""
        if not self._originals.path(sha256).exists():
            data = await actor.part.remote(sha256)
            await asyncio.to_thread(self._keep, data)

    def _keep(self, data: bytes) -> None:
        draft = self._originals.draft()
        draft.write_bytes(data)
        self._originals.keep(draft)

    def _start(self) -> Any:
        return spread(ParseNode).remote(self._config, patience_s(self._settings))


class RayIndexes:
    """The index of each generation, filled by embedders on the nodes. A Qdrant server takes them all.

    An embedded index has one writer: `embedders` is 1 then, and it must be where its home is.
    """

    def __init__(self, settings: Settings, plan: Layout) -> None:
        self._settings, self._plan = settings, plan
        self._callers: dict[int, PoolCaller] = {}

    def of(self, generation: Generation) -> IndexVectors:
        if generation.number not in self._callers:
            config = index_worker(self._settings, generation).config
            embedding = {**config["embedding"], "threads": self._plan.embed_cpus}
            config = {**config, "embedding": embedding}
            self._callers[generation.number] = PoolCaller(config, self._plan)
        return IndexVectors(self._callers[generation.number])

    async def drop(self, generation: Generation) -> None:
        """Any process may delete an index on a server but its own: one that answers does it."""
        if caller := self._callers.pop(generation.number, None):
            await caller.close()
        for number in self._callers:
            await IndexVectors(self._callers[number]).drop(generation.number)
            return

    async def close(self) -> None:
        """End all embedders."""
        for caller in self._callers.values():
            await caller.close()


class PoolCaller:
    """The index process as a crowd: each call goes to whichever embedder is free."""

    def __init__(self, config: dict[str, Any], plan: Layout) -> None:
        self._config, self._plan = config, plan
        self._pool: Pool | None = None

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        self._pool = self._pool or Pool(self._start, self._plan.embedders)
        async with self._pool.one() as actor:
            return result_of(await actor.call.remote(method, timeout_s, args))

    async def close(self) -> None:
        if self._pool:
            await self._pool.close()

    def _start(self) -> Any:
        return spread(IndexNode, gpus=self._plan.embed_gpus).remote(self._config)


def spread(kind: type, *, gpus: int = 0) -> Any:
    """An actor class that goes to one node after the other and, when its node dies, to one that is left.

    It holds a GPU but no core: what is left must have room for it. Ray's default is just that, a core to be
    placed and none to run, as long as no resource is named. A call is never repeated by Ray: the catalog
    counts the tries.
    """
    holds = {"num_cpus": 0, "num_gpus": gpus} if gpus else {}
    return ray.remote(kind).options(
        max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD", **holds
    )


def result_of(reply: dict[str, Any]) -> Any:
    """What a node answered. Raises what it could not do."""
    if "error" in reply:
        raise from_wire(reply["error"])
    return reply["result"]


def gist(error: Exception) -> str:
    """The last line of what Ray says; those before are addresses and traces."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
