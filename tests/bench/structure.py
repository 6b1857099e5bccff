"""What structure survives from a PDF, and how fast: documents made from known sources, read back.

Run it as `python tests/bench/structure.py [--peers] [FILE.pdf ...]`. --peers also measures unstructured's
`fast` strategy, in an environment of its own that it makes once under ~/.cache/permafrost/bench; FILES are
read for speed too.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.silence import silence

silence()

from pypdf import PdfReader  # noqa: E402
from rapidfuzz.distance import Indel  # noqa: E402

from ingest.chunking import chunk  # noqa: E402
from ingest.parsing import pdf  # noqa: E402
from rag.embedding.tokens import TokenCounter  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from tests.bench.pdf_sources import Source, generated  # noqa: E402
from tests.bench.report import Row, write  # noqa: E402

DOCUMENTS = 8
MEASURE = TokenCounter(locate(entry("all-minilm-l6-v2")))
PEERS = Path.home() / ".cache/permafrost/bench/unstructured"
# What `fast` imports, without torch and layout models, which it does not use.
PEER_PACKAGES = [
    *("unstructured>=0.27.32,<0.28", "pdfminer.six", "pikepdf", "pi_heif", "pdf2image", "pypdf<7", "pandas"),
    *("unstructured.pytesseract", "opencv-python-headless", "scipy", "onnxruntime", "huggingface_hub"),
    *("onnx", "matplotlib", "rapidfuzz"),
]
PEER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from rag.silence import silence
silence()
from ingest.parsing import tokenization
tokenization.register()
from unstructured.chunking.title import chunk_by_title
from unstructured.partition.pdf import partition_pdf
files = sys.argv[2:]
partition_pdf(files[0], strategy="fast", languages=["eng"])
parsed, seconds = [], [0.0, 0.0]
for path in files:
    started = time.process_time()
    elements = partition_pdf(path, strategy="fast", languages=["eng"])
    seconds[0] += time.process_time() - started
    chunk_by_title(elements, max_characters=1000)
    seconds[1] += time.process_time() - started
    parsed.append({
        "words": " ".join(each.text for each in elements).split(),
        "headings": [each.text for each in elements if each.category == "Title"],
        "rows": [],
    })
print(json.dumps({"parsed": parsed, "seconds": seconds}))
"""


@dataclass
class Reading:
    """What a tool found in one document: its words in order, headings, rows of tables."""

    words: list[str]
    headings: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)


@dataclass
class Score:
    """One tool over all documents of a kind. `rows` is None for a tool that has no tables."""

    pages_per_s: float
    order: float
    recall: float | None
    precision: float | None
    rows: float | None


def ours(data: bytes) -> Reading:
    """Our own parser."""
    document = pdf.parse(data)
    return Reading(
        [word for block in document.blocks for word in block.text.replace(" | ", " ").split()],
        [block.text for block in document.blocks if block.kind == "heading"],
        [row for block in document.blocks for row in block.rows],
    )


def ours_chunked(data: bytes) -> Reading:
    """Our own parser and chunker, as a parse worker runs them."""
    chunk(pdf.parse(data).blocks, MEASURE.spans, budget=MEASURE.budget)
    return Reading([])


def pypdf(data: bytes) -> Reading:
    """pypdf's extract_text."""
    pages = PdfReader(io.BytesIO(data)).pages
    return Reading([word for page in pages for word in page.extract_text().split()])


def measured(read: Callable[[bytes], Reading], sources: Sequence[Source], *, structured: bool) -> Score:
    """Speed and likeness of a tool that runs in this process."""
    read(sources[0].data)
    started = time.process_time()
    readings = [read(source.data) for source in sources]
    seconds = time.process_time() - started
    return scored(readings, sources, seconds, structured=structured)


def scored(
    readings: Sequence[Reading], sources: Sequence[Source], seconds: float, *, structured: bool
) -> Score:
    order = [
        Indel.normalized_similarity(reading.words, source.words)
        for reading, source in zip(readings, sources, strict=True)
    ]
    truth = Counter((at, flat(text)) for at, source in enumerate(sources) for text in source.headings)
    found = Counter((at, flat(text)) for at, reading in enumerate(readings) for text in reading.headings)
    hits = (truth & found).total()
    rows = Counter((at, flat(" | ".join(row))) for at, source in enumerate(sources) for row in source.rows)
    seen = Counter((at, flat(row)) for at, reading in enumerate(readings) for row in reading.rows)
    return Score(
        pages_per_s=sum(source.pages for source in sources) / seconds,
        order=sum(order) / len(order),
        recall=hits / truth.total() if structured else None,
        precision=hits / max(found.total(), 1) if structured else None,
        rows=(rows & seen).total() / rows.total() if structured else None,
    )


def flat(text: str) -> str:
    return " ".join(text.split()).lower()


def unstructured(files: Sequence[Path]) -> tuple[list[Reading], float, float]:
    """What `fast` reads in these files, its CPU seconds, and those with chunk_by_title."""
    python = PEERS / "bin/python"
    if not (PEERS / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *PEER_PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", "unstructured-inference"], check=True)
        (PEERS / "ready").touch()
    root = Path(__file__).resolve().parents[2]
    command = [str(python), "-c", PEER, str(root), *map(str, files)]
    said = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[-2]
    )
    return [Reading(**each) for each in said["parsed"]], *said["seconds"]


def structure(columns: int, *, peers: bool) -> list[Row]:
    """The rows of the report for documents in this many columns."""
    sources = [generated(seed, columns=columns) for seed in range(DOCUMENTS)]
    scores = {
        "permafrost": measured(ours, sources, structured=True),
        "pypdf": measured(pypdf, sources, structured=False),
    }
    chunked = measured(ours_chunked, sources, structured=False).pages_per_s
    peer_chunked = None
    if peers:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{number}.pdf" for number in range(len(sources))]
            for file, source in zip(files, sources, strict=True):
                file.write_bytes(source.data)
            readings, seconds, with_chunks = unstructured(files)
        scores["unstructured fast"] = scored(readings, sources, seconds, structured=True)
        peer_chunked = sum(source.pages for source in sources) / with_chunks
    print(table(columns, scores))
    mine, kind = scores["permafrost"], f"{columns} column{'s' if columns > 1 else ''}"
    peer = "unstructured fast" if peers else ""
    times_ten = 10 * peer_chunked if peer_chunked else None
    return [
        Row(f"{kind}: parse and chunk", chunked, "pages/s", peer, peer_chunked, times_ten),
        Row(f"{kind}: reading order", mine.order, "likeness", target=0.99),
        Row(f"{kind}: heading precision", mine.precision or 0.0, "share", target=0.9),
        Row(f"{kind}: heading recall", mine.recall or 0.0, "share", target=0.9),
        Row(f"{kind}: table rows", mine.rows or 0.0, "share", target=0.95 if columns == 1 else 0.8),
    ]


def table(columns: int, scores: dict[str, Score]) -> str:
    """All tools side by side."""
    lines = [f"{columns} column(s)        pages/s   order  head R  head P    rows"]
    for name, score in scores.items():
        shares = (score.order, score.recall, score.precision, score.rows)
        shown = "".join("       -" if share is None else f"{share:8.3f}" for share in shares)
        lines.append(f"{name:18}{score.pages_per_s:8.1f}{shown}")
    return "\n".join(lines)


def main() -> None:
    """Print the tables and write out/structure.json."""
    peers = "--peers" in sys.argv
    rows = [row for columns in (1, 2) for row in structure(columns, peers=peers)]
    if not peers:
        print("unstructured fast: not measured (--peers installs it in an environment of its own)")
    for path in (Path(name) for name in sys.argv[1:] if name != "--peers"):
        data = path.read_bytes()
        ours_chunked(data)
        started = time.process_time()
        ours_chunked(data)
        seconds = time.process_time() - started
        pages = pdf.parse(data).pages
        mine, theirs = pages / seconds, pages / unstructured([path])[2] if peers else None
        rows.append(Row(path.name, mine, "pages/s", "unstructured fast" if peers else "", theirs))
    write("structure", rows)


if __name__ == "__main__":
    main()
