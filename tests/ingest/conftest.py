"""A home, a pipeline over it, and an index that is a dictionary."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.errors import WorkerDied
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.store.generations import Generation
from rag.types import Principal

DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set/documents"


class DictVectors:
    """The part of the index that ingestion uses; keeps ids and what was embedded."""

    def __init__(self) -> None:
        self.points: dict[str, tuple[int, str]] = {}
        self.upserts = 0
        self.rights: dict[int, Any] = {}
        self.failures: list[Exception] = []
        self.delay_s = 0.0
        self.now = self.most_at_once = 0
        self.poison = "\0"  # text over which the index dies
        self.beside_the_poison: list[int] = []

    async def upsert(self, version: int, *, chunks: Sequence[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self.upserts += 1
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            await asyncio.sleep(self.delay_s)
            if any(self.poison in each["text"] for each in chunks):
                self.beside_the_poison.append(self.now - 1)
                raise WorkerDied("the index process died")
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.now -= 1
        for each in chunks:
            self.points[each["id"]] = (version, f"{each['heading']}\n{each['text']}")
        return {"points": len(chunks), "tokens": len(chunks), "embed_s": 0.0, "write_s": 0.0}

    async def settle(self, version: int) -> dict[str, Any]:
        return {"points": sum(1 for found, _ in self.points.values() if found == version), "flush_s": 0.0}

    async def delete(self, versions: Sequence[int]) -> None:
        self.points = {key: value for key, value in self.points.items() if value[0] not in versions}

    async def versions(self) -> dict[int, int]:
        return dict(Counter(version for version, _ in self.points.values()))

    async def regroup(self, rights: Mapping[int, Any]) -> None:
        self.rights |= {version: tuple(map(tuple, held)) for version, held in rights.items()}

    async def optimize(self) -> bool:
        return False

    async def tidy(self) -> bool:
        return False

    async def info(self) -> dict[str, Any]:
        return {"points": len(self.points)}


class DictIndexes:
    """One of them per generation."""

    def __init__(self) -> None:
        self.all: dict[int, DictVectors] = {}

    def of(self, generation: Generation) -> DictVectors:
        return self.all.setdefault(generation.number, DictVectors())

    async def drop(self, generation: Generation) -> None:
        self.all.pop(generation.number, None)


@pytest.fixture
def indexes() -> DictIndexes:
    return DictIndexes()


@pytest.fixture
def vectors(indexes: DictIndexes) -> DictVectors:
    return indexes.all.setdefault(1, DictVectors())


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(tmp_path / "home")
    yield catalog
    catalog.close()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nEmployees have 28 days of paid leave a year.\n")
    (folder / "travel.txt").write_text("Hotels are paid up to 140 euros a night.\n")
    return folder


@pytest.fixture
def pipeline(catalog: Catalog, indexes: DictIndexes, tmp_path: Path) -> Pipeline:
    settings = Settings(home=tmp_path / "home", ingest=IngestSettings(parse_workers=1, timeout_s=20))
    return Pipeline(catalog, indexes, settings)  # type: ignore[arg-type]


@pytest.fixture
def run(pipeline: Pipeline) -> Callable[..., Summary]:
    """Run the pipeline over paths."""

    def run(*paths: Path, **options: Any) -> Summary:
        return asyncio.run(pipeline.run(paths, principal=Principal(), **options))

    return run
