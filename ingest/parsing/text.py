"""Plain text and its close kin: paragraphs, CSV, JSON, subtitles."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from ingest.parsing.blocks import Block, ParsedDocument, table
from ingest.parsing.encoding import decode
from rag.errors import Damaged, LimitExceeded

MAX_CHARACTERS = 50_000_000
DELIMITERS = ",;\t|"
CUE = re.compile(r"^(\d+|[\d:.]+ --> .*|NOTE\b.*|STYLE\b.*|REGION\b.*|WEBVTT.*)$")


def read(data: bytes) -> str:
    """The decoded text with line feeds as line ends. Raises Damaged or LimitExceeded."""
    text = decode(data)
    if text is None:
        raise Damaged("the file is not text in any known encoding")
    if len(text) > MAX_CHARACTERS:
        raise LimitExceeded(f"{len(text)} characters of text, the limit is {MAX_CHARACTERS}")
    return re.sub("\r\n|[\r\x0c\x85\u2028\u2029]", "\n", text.removeprefix("\ufeff"))


def parse_text(data: bytes) -> ParsedDocument:
    """Paragraphs, which blank lines separate."""
    paragraphs = re.split(r"\n[ \t]*\n", read(data))
    return ParsedDocument(tuple(Block("text", text.strip()) for text in paragraphs if text.strip()))


def parse_csv(data: bytes) -> ParsedDocument:
    """One table."""
    text = read(data)
    csv.field_size_limit(MAX_CHARACTERS)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text)))
    except csv.Error as error:
        raise Damaged(f"the table cannot be read: {error}") from None
    block = table(rows)
    return ParsedDocument((block,) if block else ())


def delimiter(text: str) -> str:
    """The character that splits most lines into the same number of cells, more than one."""
    sample = text[:20000].splitlines()[:50]

    def regularity(candidate: str) -> tuple[int, int]:
        counts = [line.count(candidate) for line in sample if line.strip()]
        usual = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(usual) if usual else 0, usual)

    return max(DELIMITERS, key=regularity)


def parse_json(data: bytes) -> ParsedDocument:
    """Every value on a line of its own behind its path; JSON lines are read too. Other text stays text."""
    text = read(data)
    try:
        values = [json.loads(text)]
    except ValueError:
        try:
            values = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError:
            return parse_text(data)
    except RecursionError:
        raise LimitExceeded("the JSON is nested too deeply") from None
    records = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    blocks = (Block("text", "\n".join(flattened(record, ""))) for record in records)
    return ParsedDocument(tuple(block for block in blocks if block.text))


def flattened(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from flattened(inner, path)
    elif value is not None:
        yield f"{path}: {value}" if path else str(value)


def parse_subtitles(data: bytes) -> ParsedDocument:
    """What is said, without the clock."""
    cues = re.split(r"\n[ \t]*\n", read(data))
    said = []
    for cue in cues:
        lines = [line for line in cue.splitlines() if not CUE.match(line.strip())]
        text = re.sub(r"<v(?:\.[^ >]*)? ([^>]+)>", r"\1: ", " ".join(lines))
        text = re.sub(r"<[^>]*>", "", text).strip()
        if text:
            said.append(text)
    return ParsedDocument(tuple(Block("text", text) for text in said))
