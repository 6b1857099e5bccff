"""RTF, reStructuredText and Org through pandoc, which writes HTML for our own reader."""

from __future__ import annotations

import subprocess

import pypandoc

from ingest.parsing import html
from ingest.parsing import text as plain
from ingest.parsing.blocks import ParsedDocument
from rag.errors import Damaged


def parse_rtf(data: bytes) -> ParsedDocument:
    """The blocks of a Rich Text document. Raises Damaged."""
    page = converted(data, "rtf")
    if page is None:
        raise Damaged("the document cannot be converted")
    return html.parse(page)


def parse_rst(data: bytes) -> ParsedDocument:
    """The blocks of a reStructuredText; as plain text what pandoc is too strict to read."""
    page = converted(plain.read(data).encode("utf-8", "replace"), "rst")
    return plain.parse_text(data) if page is None else html.parse(page)


def parse_org(data: bytes) -> ParsedDocument:
    """The blocks of an Org text; as plain text what pandoc is too strict to read."""
    page = converted(plain.read(data).encode("utf-8", "replace"), "org")
    return plain.parse_text(data) if page is None else html.parse(page)


def converted(data: bytes, markup: str) -> str | None:
    """A document as HTML, None when pandoc refuses it. The sandbox keeps it from reading other files."""
    command = [pypandoc.get_pandoc_path(), "--sandbox", f"--from={markup}", "--to=html", "--wrap=preserve"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
