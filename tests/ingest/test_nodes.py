"""What a node of a cluster does with a document, without a cluster: how work is split, and what travels."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.runners.layout import Layout, layout
from ingest.runners.local import parse_config
from ingest.runners.nodes import Asked, ParseNode
from rag.errors import NotFound, SettingsError
from rag.models.lockfile import entry, locate
from rag.settings import IngestSettings

MODEL = locate(entry("all-minilm-l6-v2", None))


def on_a_node(work: Callable[[ParseNode], Awaitable[Any]], model: Path = MODEL) -> Any:
    """What comes of work with a node; its child is gone at the end."""

    async def story() -> Any:
        node = ParseNode(parse_config(IngestSettings(timeout_s=20), model), 60)
        try:
            return await work(node)
        finally:
            await node.close()

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("cpus", "gpus", "server", "expected"),
    [
        (2, 0, True, Layout(1, 1, 1)),
        (5, 0, True, Layout(1, 1, 4)),
        (64, 0, True, Layout(16, 12, 4)),
        (16, 2, True, Layout(14, 2, 1, 1)),
        (2, 4, True, Layout(1, 1, 1, 1)),
        (8, 1, False, Layout(8)),
    ],
)
def test_the_cores_are_split_between_reading_and_embedding(
    cpus: int, gpus: int, server: bool, expected: Layout
) -> None:
    assert layout(cpus, gpus, server=server) == expected


def test_the_number_of_readers_may_be_set() -> None:
    assert layout(64, 0, server=True, readers=40) == Layout(40, 12, 4)


def test_a_cluster_too_small_is_refused() -> None:
    with pytest.raises(SettingsError, match="1 cores and needs 2"):
        layout(1, 0, server=True)


def test_a_file_that_the_node_sees_is_read_in_place(tmp_path: Path) -> None:
    file = tmp_path / "note.md"
    file.write_text("# Leave\n\nEmployees have 28 days.\n")
    reply = on_a_node(lambda node: node.read(Asked.of(file, "note.md", "")))
    assert [chunk["text"] for chunk in reply["result"]["chunks"]] == ["Employees have 28 days."]
    known = Asked.of(file, "note.md", hashlib.sha256(file.read_bytes()).hexdigest())
    assert on_a_node(lambda node: node.read(known))["result"]["same"] is True


def test_a_file_that_the_node_does_not_see_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "note.md"
    file.write_text("Employees have 28 days.")
    asked = Asked.of(file, "note.md", "")
    file.write_text("Another file of that name, as another machine may have it.")

    async def story(node: ParseNode) -> Any:
        return await node.read(asked), await node.read(asked, b"Employees have 28 days.")

    first, second = on_a_node(story)
    assert first == {"absent": True}
    assert [chunk["text"] for chunk in second["result"]["chunks"]] == ["Employees have 28 days."]


def test_what_is_inside_waits_on_the_node_until_the_next_document(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.txt", "The inner words.")
    (tmp_path / "box.zip").write_bytes(packed.getvalue())
    (tmp_path / "next.txt").write_text("The next document.")

    async def story(node: ParseNode) -> Any:
        reply = await node.read(Asked.of(tmp_path / "box.zip", "box.zip", ""))
        (part,) = reply["result"]["parts"]
        data = await node.part(part["sha256"])
        await node.read(Asked.of(tmp_path / "next.txt", "next.txt", ""))
        with pytest.raises(FileNotFoundError):
            await node.part(part["sha256"])
        return part["name"], data

    assert on_a_node(story) == ("inside.txt", b"The inner words.")


def test_what_cannot_be_read_comes_back_as_words(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    reply = on_a_node(lambda node: node.read(Asked.of(tmp_path / "empty.txt", "empty.txt", "")))
    assert reply["error"]["message"] == "the file is empty"


def test_a_node_without_the_model_says_so(tmp_path: Path) -> None:
    trouble = on_a_node(lambda node: node.ping(), tmp_path / "nowhere")
    assert "nowhere is not on this node" in trouble


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone.txt cannot be read"):
        Asked.of(tmp_path / "gone.txt", "gone.txt", "")
