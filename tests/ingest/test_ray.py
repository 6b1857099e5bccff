"""Ingestion on a Ray cluster: several nodes as processes on this machine, one of them killed in the middle.

    RAY_USAGE_STATS_ENABLED=0 pytest -m slow tests/ingest/test_ray.py

A minute each, most of it Ray's start. `pip install 'permafrost-rag[ray]'` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Event, Listener, Published, Summary
from ingest.pipeline import Pipeline
from ingest.run import Run, Wanted, opened
from ingest.runners.layout import Layout
from rag.errors import Overloaded, ParseError, SettingsError, WorkerDied
from rag.models.lockfile import folder_of
from rag.settings import IngestSettings, Settings
from rag.silence import silence
from rag.store.catalog import Catalog
from rag.store.generations import Generation, Generations
from rag.store.originals import Originals
from rag.store.queue import Shelf
from rag.types import DocumentState, Principal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("ray"), reason="no Ray: pip install 'permafrost-rag[ray]'"),
    # Ray leaves sockets and processes to the end of the interpreter.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DOCUMENTS = 40
MODEL = "all-minilm-l6-v2"


@pytest.fixture
def kill() -> Iterator[Callable[[int], None]]:
    """A cluster of a head without cores and two nodes with one each; how node 0 or 1 of it dies."""
    silence()
    import ray
    from ray.cluster_utils import Cluster

    # Neither a dashboard nor its log reader: on a busy machine Ray gives up a node that takes 15 s to start.
    small = {"object_store_memory": 100_000_000, "include_dashboard": False, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield lambda number: cluster.remove_node(nodes[number], allow_graceful=False)
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", ingest=IngestSettings(timeout_s=60))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(DOCUMENTS - 1):
        rooms = "".join(f"Room {number}.{room} has {room + 3} chairs.\n\n" for room in range(12))
        (folder / f"{number}.md").write_text(f"# House {number}\n\n{rooms}")
    with zipfile.ZipFile(folder / "box.zip", "w") as archive:
        archive.writestr("inside.txt", "The inner words.")
    return folder


class RayPipeline(Pipeline):
    """A pipeline whose documents are read on the nodes."""

    def job(
        self,
        shelf: Shelf,
        wanted: Wanted,
        generation: Generation,
        listener: Listener | None,
        *,
        only: str | None = None,
    ) -> AbstractAsyncContextManager[Run]:
        from ingest.runners.ray import RayRunner

        home = self.settings.home
        runner = RayRunner(self.settings.ingest, home, folder_of(MODEL, home), readers=2)
        return opened(self.jobs, self.queue, runner, shelf, wanted, listener, only=only)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(
    kill: Callable[[int], None], docs: Path, settings: Settings, victim: int
) -> None:
    from ingest.runners.ray import RayIndexes

    published: list[str] = []
    catalog = Catalog(settings.home)
    # One embedder, since the embedded index has one writer; it and the readers lie on the two nodes.
    indexes = RayIndexes(settings, Layout(readers=2, embedders=1, embed_cpus=1))
    pipeline = RayPipeline(catalog, indexes, settings)

    def listen(event: Event) -> None:
        if isinstance(event, Published):
            published.append(event.uri)
            if len(published) == 10:
                kill(victim)

    async def story() -> tuple[Summary, dict[int, int]]:
        try:
            summary = await pipeline.run([docs], principal=Principal(), on_event=listen)
            vectors = indexes.of(Generations(catalog.database).all()[0])
            return summary, await vectors.versions()
        finally:
            await indexes.close()

    summary, indexed = asyncio.run(story())
    # What is in the archive is a document of its own.
    assert (summary.published, summary.quarantined) == (DOCUMENTS + 1, ())
    assert len(set(published)) == len(published) == DOCUMENTS + 1
    assert catalog.counts()[DocumentState.LIVE] == DOCUMENTS + 1
    assert indexed == {version: count for version, count in catalog.live_versions().items() if count}
    assert catalog.hidden_versions() == []
    catalog.close()


def on_the_cluster(settings: Settings, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """What comes of work with the function that reads."""
    from ingest.runners.ray import distributed

    async def story() -> Any:
        here: Any = object()
        async with distributed(settings, here) as spread:
            assert (spread.indexes, spread.at_once) == (here, 1), "without a server the index stays here"
            runner = spread.runner(settings.ingest, settings.home, folder_of(MODEL, settings.home))
            assert runner.workers == 2, "one for each core of the nodes"
            async with runner.reader(0) as read:
                return await work(read)

    return asyncio.run(story())


@pytest.mark.timeout(300)
def test_a_file_that_nodes_do_not_see_is_sent_and_its_parts_come_back(
    kill: Callable[[int], None], settings: Settings, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.txt", "The inner words.")
    (tmp_path / "box").write_bytes(packed.getvalue())
    # A path that means this file in this process only, as on a machine that shares nothing with the nodes.
    descriptor = os.open(tmp_path / "box", os.O_RDONLY)
    unseen = Path(f"/proc/self/fd/{descriptor}")

    async def story(read: Any) -> Any:
        parsed = await read(unseen, "box.zip", "")
        (tmp_path / "empty").write_bytes(b"")
        with pytest.raises(ParseError, match="the file is empty"):
            await read(tmp_path / "empty", "empty.txt", "")
        return parsed

    try:
        (part,) = on_the_cluster(settings, story)["parts"]
    finally:
        os.close(descriptor)
    assert Originals(settings.home).path(part["sha256"]).read_bytes() == b"The inner words."


@pytest.mark.timeout(300)
def test_a_cluster_that_lost_its_last_node_ends_the_run(
    kill: Callable[[int], None], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "note.txt").write_text("Some words.")

    async def story(read: Any) -> None:
        assert (await read(tmp_path / "note.txt", "note.txt", ""))["chunks"]
        monkeypatch.setattr("ingest.runners.ray.PATIENCE_S", 5.0)
        kill(0)
        kill(1)
        with pytest.raises(Overloaded, match="no room for our workers for 5 s.*ray status"):
            while True:
                with contextlib.suppress(WorkerDied):  # a reader outlives its node by a moment
                    await read(tmp_path / "note.txt", "note.txt", "")

    on_the_cluster(settings, story)


def test_an_address_where_nobody_answers_is_named() -> None:
    from ingest.runners.ray import cluster

    with (
        pytest.raises(SettingsError, match=r"no Ray cluster at 127.0.0.1:1: .*ray start --head"),
        cluster("127.0.0.1:1"),
    ):
        raise AssertionError("nobody is there")
