"""Whether the marks on a drawn page are the quote: what a PDF reader finds under them, sentence by sentence.

Run it as `python tests/bench/marking.py [--every N]` (every Nth sentence of the 10-Q reports of the developer
set; 1 takes minutes). The peer is what other products mark: all boxes of the chunk.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.silence import silence

silence()

import pypdfium2  # noqa: E402

from ingest.chunking import chunk  # noqa: E402
from ingest.parsing.parser import parse  # noqa: E402
from ingest.parsing.quotes import Quote, compared  # noqa: E402
from ingest.parsing.rendering import Wanted  # noqa: E402
from ingest.parsing.words import Edges  # noqa: E402
from rag.embedding.tokens import TokenCounter  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from rag.types import Box  # noqa: E402
from tests.bench.report import Row, write  # noqa: E402

REPORTS = Path(__file__).resolve().parents[3] / "shared/data/dev_set/qa/sec10q/pdf"
SENTENCE = re.compile(r"[A-Z][^.|\n]{40,400}\.(?=\s|$)")
SLACK = 1.0  # points around a mark, for boxes are stored rounded
WHOLE = 0.98  # of a sentence's characters, below which a part of it counts as not marked

Marks = Mapping[int, Sequence[Edges]]


def sentences(path: Path, measure: TokenCounter, every: int) -> Iterator[Wanted]:
    """Every so many sentences of a report, in its chunks, with where these stand."""
    _, document = parse(path.read_bytes(), path.name)
    number = 0
    for piece in chunk(document.blocks, measure.spans, budget=measure.budget):
        for found in SENTENCE.finditer(piece.text):
            number += 1
            if number % every == 0:
                yield Wanted(Quote(piece.text, *found.span()), tuple(map(edges_of, piece.boxes)))


def edges_of(box: Box) -> tuple[int, Edges]:
    return box.page, Edges(box.left, box.top, box.right, box.bottom)


def text_under(document: pypdfium2.PdfDocument, marks: Marks) -> str:
    """What PDFium itself finds within these rectangles."""
    found = []
    for number, part in marks.items():
        page = document[number - 1]
        text, height = page.get_textpage(), page.get_height()
        for each in part:
            left, right = each.left - SLACK, each.right + SLACK
            found.append(
                text.get_text_bounded(left, height - each.bottom - SLACK, right, height - each.top + SLACK)
            )
        text.close()
        page.close()
    return "".join(found)


def shares(quote: Quote, under: str) -> tuple[float, float]:
    """Of the quote's characters those under the marks, and of these those that are the quote's."""
    wanted, seen = letters(quote.text[quote.start : quote.end]), letters(under)
    both = (wanted & seen).total()
    return both / wanted.total(), both / max(1, seen.total())


def letters(text: Iterable[str]) -> Counter[str]:
    return Counter(each for letter in text for each in compared(letter))


def by_page(area: Sequence[tuple[int, Edges]]) -> Marks:
    return {number: [edges for page, edges in area if page == number] for number, _ in area}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--every", type=int, default=4)
    every = options.parse_args().every
    if not REPORTS.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set)")
    measure = TokenCounter(locate(entry("all-minilm-l6-v2")))
    ours, chunks = [], []
    for path in sorted(REPORTS.glob("*.pdf")):
        with pypdfium2.PdfDocument(path) as document:
            for wanted in sentences(path, measure, every):
                marks = wanted.lines(document)
                ours.append(shares(wanted.quote, text_under(document, marks)))
                chunks.append(shares(wanted.quote, text_under(document, by_page(wanted.area))))
    peer = "all boxes of the chunk"
    write(
        "marking",
        [
            Row(f"of {len(ours)} sentences, marked whole", whole(ours), "share", peer, whole(chunks)),
            Row("of what is marked, the quote's, mean", mine(ours), "share", peer, mine(chunks)),
        ],
    )


def whole(found: Sequence[tuple[float, float]]) -> float:
    return statistics.fmean(recall >= WHOLE for recall, _ in found)


def mine(found: Sequence[tuple[float, float]]) -> float:
    return statistics.fmean(precision for _, precision in found)


if __name__ == "__main__":
    main()
