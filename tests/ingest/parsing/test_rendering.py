"""Pages drawn from PDFs made here: the marked words are where the boxes say, and limits hold."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from ingest.parsing import pdf, rendering
from ingest.parsing.quotes import Quote
from ingest.parsing.rendering import MARKER, MAX_BOXES, MAX_PIXELS, PageService, Wanted, picture_of
from ingest.parsing.words import Edges
from rag.errors import Damaged, LimitExceeded, NotFound
from rag.types import Box
from tests.bench.pdf_writer import PdfPage, written

LINES = ("Hotels are paid up to 140 euros a night.", "Taxis are not reimbursed.")


def page(*, rotation: int = 0, width: float = 595, height: float = 842) -> PdfPage:
    found = PdfPage(width, height, extra=f"/Rotate {rotation}" if rotation else "")
    for number, line in enumerate(LINES):
        found.text(100, height - 142 - 200 * number, line, 12)
    return found


def drawn(data: bytes, number: int = 1, boxes: tuple[Box, ...] = (), dpi: float = 72) -> Image.Image:
    edges = [(box.left, box.top, box.right, box.bottom) for box in boxes]
    return Image.open(io.BytesIO(picture_of(data, number, edges, dpi).png))


def box_of(data: bytes, line: str) -> Box:
    (block,) = [block for block in pdf.parse(data).blocks if block.text == line]
    return block.boxes[0]


def tinted(picture: Image.Image) -> tuple[int, int, int, int]:
    """The corners of what has the colour of the marker."""
    mask = Image.new("1", picture.size)
    mask.putdata([pixel == MARKER for pixel in picture.get_flattened_data()])
    corners = mask.getbbox()
    assert corners
    return corners


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_marked_box_holds_the_ink_of_the_words_and_no_other(rotation: int) -> None:
    data = written([page(rotation=rotation)])
    box = box_of(data, LINES[0])
    left, top, right, bottom = tinted(picture := drawn(data, boxes=(box,)))
    assert (left, top, right, bottom) == pytest.approx((box.left, box.top, box.right, box.bottom), abs=3)
    inside = picture.crop((left, top, right, bottom))
    assert min(pixel[0] for pixel in inside.get_flattened_data()) < 80, "black letters stay black"
    other = box_of(data, LINES[1])
    edges = (int(other.left), int(other.top), int(other.right), int(other.bottom))
    beside = picture.crop(edges).get_flattened_data()
    assert min(pixel[0] for pixel in beside) < 80 and MARKER not in set(beside)


def test_a_page_is_as_large_as_its_resolution_says_and_never_too_large() -> None:
    data = written([page()])
    assert drawn(data, dpi=144).size == (1190, 1684)
    huge = drawn(written([page(width=14_000, height=14_000)]), dpi=300)
    assert huge.width * huge.height <= MAX_PIXELS * 1.01


def test_a_page_that_is_not_there_and_bytes_that_are_no_pdf() -> None:
    data = written([page()])
    with pytest.raises(NotFound, match="no page 2; the document has 1"):
        drawn(data, 2)
    with pytest.raises(NotFound):
        drawn(data, 0)
    with pytest.raises(Damaged):
        drawn(b"not a PDF")
    with pytest.raises(LimitExceeded, match=f"the limit is {MAX_BOXES}"):
        picture_of(data, 1, [(0, 0, 1, 1)] * (MAX_BOXES + 1))


def test_a_box_beside_the_page_or_turned_inside_out_marks_nothing() -> None:
    data = written([page()])
    plain = picture_of(data, 1, [])
    assert picture_of(data, 1, [(9e9, 9e9, 9.1e9, 9.1e9), (300, 300, 200, 200)]) == plain


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.pdf"
    path.write_bytes(written([page()]))
    return path


def service(timeout_s: float = 20, max_file_bytes: int = 10_000_000) -> PageService:
    return PageService(timeout_s=timeout_s, memory_bytes=1 << 30, max_file_bytes=max_file_bytes)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_child_draws_what_the_function_draws(file: Path) -> None:
    shown = service().render(str(file), digest(file), 1, [(100, 130, 300, 145)], dpi=72)
    drawn = picture_of(file.read_bytes(), 1, [(100, 130, 300, 145)], 72)
    assert (shown["page"], base64.b64decode(shown["png"])) == drawn


def test_the_child_marks_the_words_of_a_quote_and_not_the_boxes_of_its_paragraph(file: Path) -> None:
    text, whole = "\n\n".join(LINES), (90.0, 90.0, 500.0, 400.0)
    start = text.index("Taxis")
    shown = service().render(
        str(file), digest(file), 1, [whole], 72, quote=(text, start, start + 5), area=[(1, whole)]
    )
    corners = tinted(Image.open(io.BytesIO(base64.b64decode(shown["png"]))))
    assert corners == pytest.approx((100, 333, 129, 345), abs=3)
    ((number, line),) = service().lines(str(file), digest(file), (text, start, start + 5), [(1, whole)])[
        "lines"
    ]
    assert number == 1 and line == pytest.approx(corners, abs=3)
    elsewhere = service().render(
        str(file), digest(file), 1, [whole], 72, quote=("Trains", 0, 6), area=[(1, whole)]
    )
    corners = tinted(Image.open(io.BytesIO(base64.b64decode(elsewhere["png"]))))
    assert corners == pytest.approx(whole, abs=3), "words that are not there: the boxes as before"


def test_a_quote_on_another_page_of_its_chunk_is_drawn_there() -> None:
    pages = [page(), page()]
    pages[1].text(100, 300, "Trains are free.", 12)
    box = Edges(90, 90, 500, 600)
    wanted = Wanted(Quote("Taxis are not reimbursed. Trains are free.", 26, 42), ((1, box), (2, box)))
    drawn = picture_of(written(pages), 1, [box], 72, wanted=wanted)
    assert drawn.page == 2
    assert tinted(Image.open(io.BytesIO(drawn.png)))[1] == pytest.approx(842 - 300 - 10, abs=4)


def test_a_scan_has_no_characters_and_shows_the_boxes() -> None:
    scan = PdfPage(300, 200)
    scan.picture(0, 0, 300, 200, bytes([255] * 600), 30)
    whole = (20.0, 30.0, 200.0, 60.0)
    wanted = Wanted(Quote(LINES[0], 0, len(LINES[0])), ((1, Edges(*whole)),))
    drawn = picture_of(written([scan]), 1, [whole], 72, wanted=wanted)
    assert tinted(Image.open(io.BytesIO(drawn.png))) == pytest.approx(whole, abs=3)


def test_a_page_too_full_to_search_shows_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MAX_LETTERS", 10)
    whole = (90.0, 90.0, 500.0, 400.0)
    wanted = Wanted(Quote(LINES[0], 0, len(LINES[0])), ((1, Edges(*whole)),))
    drawn = picture_of(written([page()]), 1, [whole], 72, wanted=wanted)
    assert tinted(Image.open(io.BytesIO(drawn.png))) == pytest.approx(whole, abs=3)


def test_a_file_that_changed_or_went_is_not_shown(file: Path) -> None:
    before = digest(file)
    file.write_bytes(written([page(), page()]))
    with pytest.raises(NotFound, match="changed since it was indexed"):
        service().render(str(file), before, 1, [])
    file.unlink()
    with pytest.raises(NotFound, match="not here"):
        service().render(str(file), before, 1, [])


def test_limits_of_size_and_time_hold(file: Path, tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="larger than 100 bytes"):
        service(max_file_bytes=100).render(str(file), digest(file), 1, [])
    slow = PdfPage()
    slow.operators = ["0.3 w"] + [f"0 {n % 800} m 595 {(7 * n) % 842} l S" for n in range(400_000)]
    path = tmp_path / "slow.pdf"
    path.write_bytes(written([slow]))
    with pytest.raises(LimitExceeded):
        service(timeout_s=0.5).render(str(path), digest(path), 1, [])
