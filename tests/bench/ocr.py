"""OCR: seconds a page on one core and how much of the text comes back, beside Tesseract called by itself.

Run it as `python tests/bench/ocr.py [--pages N]`; pages are made from known text, drawn at 150 dots an inch.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pypdfium2

from ingest.parsing import pdf
from tests.bench.pdf_sources import generated
from tests.bench.report import Row, write

DPI = 150
TARGET_S = 2.0


def scan(data: bytes, most: int) -> tuple[bytes, list[bytes]]:
    """The first pages as a PDF of pictures without text, and each picture as PNG."""
    document, pictures = pypdfium2.PdfDocument(data), []
    for number in range(min(most, len(document))):
        pictures.append(document[number].render(scale=DPI / 72).to_pil().convert("L"))
    out = io.BytesIO()
    pictures[0].save(out, "PDF", resolution=DPI, save_all=True, append_images=pictures[1:])
    pngs = []
    for picture in pictures:
        png = io.BytesIO()
        picture.save(png, "PNG", dpi=(DPI, DPI))
        pngs.append(png.getvalue())
    return out.getvalue(), pngs


def words_of(data: bytes, most: int) -> Counter[str]:
    """The words that a text layer holds on the first pages."""
    document = pypdfium2.PdfDocument(data)
    pages = (document[number].get_textpage().get_text_bounded() for number in range(most))
    return Counter(" ".join(pages).split())


def ours(scanned: bytes) -> Counter[str]:
    """What our parser reads from pictures."""
    blocks = pdf.parse(scanned, ocr_languages="eng").blocks
    return Counter(" ".join(block.text.replace(" | ", " ") for block in blocks).split())


def by_itself(pngs: list[bytes]) -> Counter[str]:
    """What Tesseract reads with its defaults."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, png in enumerate(pngs):
            path = Path(folder) / f"{number}.png"
            path.write_bytes(png)
            command = ["tesseract", str(path), "-", "-l", "eng"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found += Counter(done.stdout.split())
    return found


def measured(read: Callable[[], Counter[str]]) -> tuple[float, Counter[str]]:
    """CPU seconds, with those of the programs that were called, and the words."""
    before = sum(os.times()[:4])
    found = read()
    return sum(os.times()[:4]) - before, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pages", type=int, default=6)
    source = generated(3, columns=1).data
    pages = min(parser.parse_args().pages, len(pypdfium2.PdfDocument(source)))
    os.environ["OMP_THREAD_LIMIT"] = "1"
    scanned, pngs = scan(source, pages)
    truth = words_of(source, pages)
    (seconds, found), (peer_s, peer) = measured(lambda: ours(scanned)), measured(lambda: by_itself(pngs))

    def recall(words: Counter[str]) -> float:
        return (words & truth).total() / truth.total()

    name, alone = f"OCR of {pages} pages", "tesseract with its defaults"
    write(
        "ocr",
        [
            Row(name, seconds / pages, "CPU s/page", alone, peer_s / pages, TARGET_S, lower_is_better=True),
            Row(f"{name}: words found", recall(found), "share", alone, recall(peer), recall(peer)),
        ],
    )


if __name__ == "__main__":
    main()
