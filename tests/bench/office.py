"""Office formats: our readers beside unstructured on generated files, in CPU seconds and in what is found.

Run it as `python tests/bench/office.py [CHAPTERS]`. Each side reads a file once to warm up, then three times.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pypandoc

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.silence import silence

silence()

from ingest.parsing.blocks import Block  # noqa: E402
from ingest.parsing.parser import parse, preload  # noqa: E402

ROUNDS = 3
TARGET = 0.1
SUBJECTS = "pump valve gauge seal motor rotor bearing sensor filter tank".split()  # noqa: SIM905
VERBS = "checks records replaces cleans reports opens measures keeps stores counts".split()  # noqa: SIM905
PLACES = "Berlin Lyon Porto Gdansk Turin Malmo Ghent Brno Graz Cork".split()  # noqa: SIM905
PEER = """
import json, os, sys
from pathlib import Path
from ingest.parsing import second
from ingest.parsing.detection import Format

def cpu_s():  # with that of the programs it calls
    return sum(os.times()[:4])

second.load()
for name, kind in json.loads(sys.argv[1]).items():
    data = Path(name).read_bytes()
    document = second.parse_elements(data, Format[kind])
    times = []
    for _ in range(int(sys.argv[2])):
        started = cpu_s()
        second.parse_elements(data, Format[kind])
        times.append(cpu_s() - started)
    blocks = [(block.kind, block.text, list(block.rows)) for block in document.blocks]
    print(json.dumps([name, min(times), blocks]))
"""


def sentence(number: int) -> str:
    """A sentence like no other, so that a lost one is missed."""
    pick = [words[number // 10**place % 10] for place, words in enumerate((SUBJECTS, VERBS, PLACES))]
    return f"In step {number} the {pick[0]} team {pick[1]} part {number * 7 + 3} at the plant of {pick[2]}."


def handbook(chapters: int) -> str:
    """A handbook as HTML, from which the other formats are made."""
    body = []
    number = 0
    for chapter in range(1, chapters + 1):
        body.append(f"<h1>Chapter {chapter} on the {SUBJECTS[chapter % 10]}</h1>")
        for section in range(1, 5):
            body.append(f"<h2>Section {chapter}.{section} for {PLACES[(chapter + section) % 10]}</h2>")
            for _ in range(4):
                body.append("<p>" + " ".join(sentence(number + each) for each in range(5)) + "</p>")
                number += 5
            rows = [
                f"<td>Item {number + row}</td><td>{PLACES[row]}</td><td>{row * 37}</td>" for row in range(5)
            ]
            head = "<tr><th>Item</th><th>Plant</th><th>Amount</th></tr>"
            body.append(f"<table>{head}{''.join(f'<tr>{row}</tr>' for row in rows)}</table>")
    return f"<html><head><title>Handbook</title></head><body>{''.join(body)}</body></html>"


def converted(page: str, to: str, path: Path) -> None:
    pypandoc.convert_text(page, to, format="html", outputfile=str(path))


def write_slides(path: Path, slides: int) -> None:
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    for number in range(slides):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number} on the {SUBJECTS[number % 10]}"
        slide.placeholders[1].text_frame.text = sentence(3 * number)
        for each in (1, 2):
            slide.placeholders[1].text_frame.add_paragraph().text = sentence(3 * number + each)
        grid = slide.shapes.add_table(3, 2, Inches(1), Inches(4), Inches(6), Inches(2)).table
        for row in range(3):
            grid.cell(row, 0).text, grid.cell(row, 1).text = f"Item {number}-{row}", str(row * 37 + number)
    deck.save(str(path))


def records(count: int) -> list[list[str]]:
    head = ["Number", "Part", "Plant", "Team", "Amount", "Remark"]
    return [head] + [
        [str(n), f"P-{n * 7}", PLACES[n % 10], SUBJECTS[n % 7], str(n * 37 % 1009), f"{VERBS[n % 10]} {n}"]
        for n in range(count)
    ]


def write_workbook(path: Path, rows: list[list[str]]) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Records")
    for row in rows:
        sheet.append([int(cell) if cell.isdecimal() else cell for cell in row])
    book.save(path)


def made(folder: Path, chapters: int) -> dict[str, str]:
    """Files in all the formats that are compared, and the name of each format."""
    page, rows = handbook(chapters), records(chapters * 100)
    (folder / "a.html").write_text(page)
    for name in ("docx", "odt", "epub"):
        converted(page, name, folder / f"a.{name}")
    write_slides(folder / "a.pptx", chapters * 4)
    write_workbook(folder / "a.xlsx", rows)
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    (folder / "a.csv").write_text(buffer.getvalue())
    return {
        str(folder / f"a.{name}"): name.upper()
        for name in ("docx", "pptx", "xlsx", "odt", "epub", "html", "csv")
    }


def words(blocks: Iterable[Block]) -> Counter[str]:
    return Counter(word for block in blocks for word in re.findall(r"\w+", block.text.lower()))


def recall(of: Counter[str], found: Counter[str]) -> float:
    return sum((of & found).values()) / max(1, sum(of.values()))


def ours(path: str) -> tuple[float, list[Block]]:
    data = Path(path).read_bytes()
    _, document = parse(data, Path(path).name)
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        parse(data, Path(path).name)
        times.append(time.process_time() - started)
    return min(times), list(document.blocks)


def theirs(files: dict[str, str]) -> dict[str, tuple[float, list[Block]]]:
    """unstructured's elements through the same conversion into blocks, in a process of its own."""
    command = [sys.executable, "-c", PEER, json.dumps(files), str(ROUNDS)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    found: dict[str, tuple[float, list[Block]]] = {}
    for line in done.stdout.splitlines():
        name, seconds, blocks = json.loads(line)
        found[name] = (seconds, [Block(kind, text, rows=tuple(rows)) for kind, text, rows in blocks])
    return found


def counted(blocks: list[Block]) -> tuple[int, int]:
    """Headings and table rows."""
    return sum(block.kind == "heading" for block in blocks), sum(len(block.rows) for block in blocks)


def main() -> None:
    chapters = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    preload()
    head = ("format", "ours s", "unstr. s", "share", "words kept", "words found", "headings", "table rows")
    table: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = made(Path(folder), chapters)
        peers = theirs(files)
        for path, name in files.items():
            (seconds, blocks), (peer_s, peer_blocks) = ours(path), peers[path]
            mine, other = words(blocks), words(peer_blocks)
            (headings, rows), (peer_headings, peer_rows) = counted(blocks), counted(peer_blocks)
            share = f"{seconds / peer_s:.3f}{'' if seconds <= TARGET * peer_s else ' (target 0.1)'}"
            kept, more = f"{recall(other, mine):.3f}", f"{recall(mine, other):.3f}"
            table.append(
                (name, f"{seconds:.3f}", f"{peer_s:.3f}", share, kept, more)
                + (f"{headings} / {peer_headings}", f"{rows} / {peer_rows}")
            )
    widths = [max(len(str(row[column])) for row in (head, *table)) for column in range(len(head))]
    for row in (head, *table):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)))
    print("words kept: of unstructured's words, those that ours has too; words found: the other way round")


if __name__ == "__main__":
    main()
