"""A home, a pipeline over it, and an index that is a dictionary."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from rag.settings import IngestSettings, Settings
from rag.store.catalog import Catalog
from rag.types import Principal

DEV_SET = Path(__file__).resolve().parents[3] / "shared/data/dev_set/documents"


class DictVectors:
    """The part of the index that ingestion uses; keeps ids and what was embedded."""

    def __init__(self) -> None:
        self.points: dict[str, tuple[int, str]] = {}
        self.upserts = 0
        self.failures: list[Exception] = []

    async def upsert(self, version: int, *, chunks: Sequence[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self.upserts += 1
        if self.failures:
            raise self.failures.pop(0)
        for each in chunks:
            self.points[each["id"]] = (version, f"{each['heading']}\n{each['text']}")
        return {"points": len(chunks), "tokens": len(chunks), "embed_s": 0.0, "write_s": 0.0}

    async def settle(self, version: int) -> int:
        return sum(1 for found, _ in self.points.values() if found == version)

    async def delete(self, versions: Sequence[int]) -> None:
        self.points = {key: value for key, value in self.points.items() if value[0] not in versions}

    async def versions(self) -> dict[int, int]:
        return dict(Counter(version for version, _ in self.points.values()))

    async def info(self) -> dict[str, Any]:
        return {"points": len(self.points)}


@pytest.fixture
def vectors() -> DictVectors:
    return DictVectors()


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
def pipeline(catalog: Catalog, vectors: DictVectors, tmp_path: Path) -> Pipeline:
    settings = Settings(home=tmp_path / "home", ingest=IngestSettings(parse_workers=1, timeout_s=20))
    return Pipeline(catalog, vectors, settings)  # type: ignore[arg-type]


@pytest.fixture
def run(pipeline: Pipeline) -> Callable[..., Summary]:
    """Run the pipeline over paths."""

    def run(*paths: Path, **options: Any) -> Summary:
        return asyncio.run(pipeline.run(paths, principal=Principal(), **options))

    return run
