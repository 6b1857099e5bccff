"""What may be drawn as a page, and what a request for one must look like."""

from __future__ import annotations

import asyncio
import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from rag.errors import BadRequest, NotFound, Unsupported
from rag.rendering import MOST_MARKS, PageImages, marks
from rag.store.originals import Originals
from rag.types import Box, Document, DocumentState
from rag.workers import Worker
from tests.bench.pdf_writer import PdfPage, written

LIMITS = {"timeout_s": 20.0, "memory_bytes": 1 << 30, "max_file_bytes": 10_000_000}


def document(uri: str, data: bytes, *, source: str = "", media_type: str = "application/pdf") -> Document:
    sha256 = hashlib.sha256(data).hexdigest()
    state = DocumentState.LIVE
    return Document(
        "d", uri, "Travel", "default", "default", sha256, 1, state, media_type=media_type, source=source
    )


def data() -> bytes:
    page = PdfPage(200, 100)
    page.text(20, 50, "Hotels are paid.", 12)
    return written([page])


def test_a_page_of_a_file_and_of_an_upload_is_drawn_with_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "travel.pdf"
    path.write_bytes(data())
    originals = Originals(tmp_path)
    draft = originals.draft()
    draft.write_bytes(data())
    originals.keep(draft)

    async def draw() -> list[bytes]:
        worker = Worker("ingest.parsing.rendering:PageService", LIMITS, name="pages")
        try:
            images = PageImages(worker, tmp_path)
            box = Box(1, 20, 38, 110, 52)
            from_folder, uploaded = (
                document(str(path), data()),
                document("upload://t", data(), source="upload"),
            )
            with pytest.raises(NotFound, match="no page 2"):
                await images.draw(from_folder, 2)
            return [
                (await images.draw(from_folder, 1)).png,
                (await images.draw(from_folder, 1, [replace(box, page=2)])).png,
                (await images.draw(from_folder, 1, [box])).png,
                (await images.draw(uploaded, 1, [box])).png,
            ]
        finally:
            await worker.stop()

    plain, elsewhere, marked, uploaded = asyncio.run(draw())
    assert plain == elsewhere, "a box of another page marks nothing here"
    assert marked == uploaded != plain
    assert Image.open(io.BytesIO(plain)).size == (306, 153)


def test_a_format_without_pages_says_where_to_open_it(tmp_path: Path) -> None:
    images = PageImages(Worker("ingest.parsing.rendering:PageService", LIMITS, name="pages"), tmp_path)
    text = document("/leave.md", b"# Leave", media_type="text/markdown")
    with pytest.raises(Unsupported, match=r"'Travel' \(text/markdown\) has no pages .* at 'Leave > Parents'"):
        asyncio.run(images.draw(text, 1, section="Leave > Parents"))


def test_highlights_are_four_numbers() -> None:
    assert marks(3, ["1,2,3.5,4"]) == [Box(3, 1, 2, 3.5, 4)]
    for wrong in ("", "1,2,3", "1,2,3,x", "1,2,3,nan", "1,2,3,inf"):
        with pytest.raises(BadRequest, match="is no box"):
            marks(1, [wrong])
    with pytest.raises(BadRequest, match="at most"):
        marks(1, ["0,0,1,1"] * (MOST_MARKS + 1))
