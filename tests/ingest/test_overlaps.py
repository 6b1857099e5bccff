"""A document that two sources list: whose it is, who may read it, and what is said."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import Summary
from ingest.pipeline import Pipeline
from ingest.run import Wanted
from ingest.sources.folder import FolderSource
from ingest.sources.selection import Selection
from rag.store.catalog import Catalog
from rag.types import Principal

Sync = Callable[..., Summary]


@pytest.fixture
def sync(pipeline: Pipeline, docs: Path) -> Sync:
    """Read the documents as a declared source of this name; "": as given by hand."""

    def sync(name: str, groups: tuple[str, ...] = ("everyone",), **selection: Any) -> Summary:
        source = FolderSource(
            [docs],
            home=pipeline.settings.home,
            max_file_bytes=10**6,
            name=name,
            selection=Selection(groups=groups, **selection),
        )
        return asyncio.run(pipeline.sync(source, Wanted()))

    return sync


def readers(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {Path(each.uri).name: tuple(each.groups) for each in catalog.documents(OPERATOR)}


OPERATOR = Principal(groups=("everyone", "hr", "staff"))


def counts(summary: Summary) -> tuple[int, ...]:
    return summary.new, summary.changed, summary.regrouped, summary.gone


def test_a_document_stays_with_the_source_that_listed_it_first(sync: Sync, catalog: Catalog) -> None:
    sync("closed", ("hr",))
    for _ in range(2):
        summary = sync("open")
        assert counts(summary) == (0, 0, 0, 0)
        ((name, reason),) = summary.left_out
        assert name.endswith("and 1 more") and "belongs to source closed" in reason
        assert counts(sync("closed", ("hr",))) == (0, 0, 0, 0)
    assert set(readers(catalog).values()) == {("hr",)}


def test_a_new_source_takes_what_it_shows_to_no_more_readers_and_keeps_it(
    sync: Sync, catalog: Catalog
) -> None:
    sync("all", ("hr", "staff"))
    assert sync("moved", ("hr",), include=("leave.md",)).new == 1
    for _ in range(2):
        again = sync("all", ("hr", "staff"))
        assert counts(again) == (0, 0, 0, 0) and len(again.left_out) == 1
        assert counts(sync("moved", ("hr",), include=("leave.md",))) == (0, 0, 0, 0)
    assert readers(catalog) == {"leave.md": ("hr",), "travel.txt": ("hr", "staff")}


def test_a_source_that_lists_no_more_hands_on_at_the_next_runs(sync: Sync, catalog: Catalog) -> None:
    sync("closed", ("hr",))
    sync("open")
    assert sync("closed", ("hr",), exclude=("leave.md",)).gone == 1
    assert sync("open").new == 1
    assert readers(catalog) == {"leave.md": ("everyone",), "travel.txt": ("hr",)}


def test_a_run_by_hand_takes_nothing_from_a_declared_source(sync: Sync, catalog: Catalog) -> None:
    sync("closed", ("hr",))
    assert sync("", ("hr",)).left_out
    assert sync("").left_out
    assert set(readers(catalog).values()) == {("hr",)}


def test_what_was_ingested_by_hand_passes_to_its_source_unless_that_shows_it_to_more(
    sync: Sync, catalog: Catalog
) -> None:
    sync("", ("hr",))
    assert "by hand for fewer readers" in sync("docs").left_out[0][1]
    assert set(readers(catalog).values()) == {("hr",)}
    assert sync("docs", ("hr",)).new == 2
    assert not sync("docs", ("hr",)).left_out


def test_the_parts_of_what_a_source_takes_have_its_readers_although_no_byte_changed(
    sync: Sync, docs: Path, catalog: Catalog
) -> None:
    with zipfile.ZipFile(docs / "box.zip", "w") as archive:
        archive.writestr("pay.md", "Salaries rise by three per cent in May.")
    sync("all", ("hr", "everyone"))
    sync("closed", ("hr",))
    assert readers(catalog) == dict.fromkeys(("box.zip", "pay.md", "leave.md", "travel.txt"), ("hr",))
