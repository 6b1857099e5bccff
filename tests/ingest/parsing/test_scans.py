"""Pictures of text: recognised with boxes and confidence, whichever way they lie. Needs Tesseract."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from ingest.parsing import ocr, pdf, scans
from rag.errors import Damaged, LimitExceeded, NoText
from tests.bench.pdf_writer import PdfPage, written

LINES = ("Hotels are paid up to 140 euros", "Records are kept for ten years", "Reports are due in March")
tesseract = pytest.mark.skipif(not ocr.installed(), reason="Tesseract is not installed")


def picture() -> Image.Image:
    """An A4 page of 100 dpi with some large lines from 100 points on down."""
    image = Image.new("L", (827, 1169), 255)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(LINES * 3):
        draw.text((100, 139 + 60 * number), line, fill=0, font=ImageFont.load_default(30))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture(params=["program", "library"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to Tesseract; the library where it is installed."""
    ocr.in_process.cache_clear()
    if request.param == "program":
        monkeypatch.setattr(ocr, "MOST_PIXELS_IN_PROCESS", 0)
    elif ocr.in_process("eng") is None:
        pytest.skip("tesserocr is not installed")
    return str(request.param)


@tesseract
def test_a_page_that_takes_too_long_is_given_up(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "PAGE_TIMEOUT_S", 0.02)
    image = picture()
    with pytest.raises(LimitExceeded, match=r"0\.02 s"):
        list(ocr.words(scans.picture_of(image.tobytes(), *image.size, image.width), "eng"))


@tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_a_picture_is_read(kind: str, way: str) -> None:
    document = scans.parse_image(saved(picture(), kind), "eng")
    text = " ".join(" ".join(block.text for block in document.blocks).split())
    assert all(line in text for line in LINES)
    assert all(0.5 < (block.confidence or 0) <= 1 for block in document.blocks)


@tesseract
def test_every_page_of_a_tiff_is_read() -> None:
    data = saved(picture(), "TIFF", save_all=True, append_images=[picture()])
    document = scans.parse_image(data, "eng")
    assert document.pages == 2 and {block.page for block in document.blocks} == {1, 2}


@tesseract
@pytest.mark.parametrize("turn", [0, 90, 180])
def test_a_scanned_page_is_read_and_placed_whichever_way_it_lies(turn: int, way: str) -> None:
    if turn and ocr.ORIENTATION not in ocr.installed():
        pytest.skip("Tesseract's osd pack is not installed")
    image = picture().rotate(-turn, expand=True)
    width, height = (595, 842) if turn != 90 else (842, 595)
    scan = PdfPage(width, height)
    scan.picture(0, 0, width, height, image.tobytes(), image.width)
    document = pdf.parse(written([scan]), ocr_languages="auto")
    assert LINES[0] in document.blocks[0].text.replace("\n", " ")
    (box,) = document.blocks[0].boxes
    # 100 points from the top, 72 from the left of the upright page; here the page as shown is turned.
    near = {0: (box.left, box.top), 90: (box.top, 842 - box.right), 180: (595 - box.right, 842 - box.bottom)}
    left, top = near[turn]
    assert 65 < left < 80 and 95 < top < 115


@tesseract
def test_a_missing_language_names_its_package() -> None:
    with pytest.raises(NoText, match=r"no language xyz_abc: apt-get install tesseract-ocr-xyz-abc"):
        scans.parse_image(saved(picture(), "PNG"), "xyz_abc+eng")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    data = saved(Image.new("1", (20_000, 6_000)), "PNG")
    with pytest.raises(LimitExceeded, match="20000 x 6000 pixels"):
        list(scans.frames(data))
    # So many that the library refuses it before it tells the size.
    with pytest.raises(LimitExceeded, match="more than 100 million pixels"):
        list(scans.frames(saved(Image.new("1", (20000, 20000)), "PNG")))


def test_what_is_no_picture_is_damaged() -> None:
    with pytest.raises(Damaged, match="cannot be decoded"):
        list(scans.frames(saved(picture(), "PNG")[:300]))
