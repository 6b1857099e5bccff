"""HTML as a stream of tags: no tree, so no depth of nesting can hurt."""

from __future__ import annotations

from lxml import etree

from ingest.parsing.blocks import Block, BlockKind, ParsedDocument, table
from ingest.parsing.encoding import decode
from rag.errors import Damaged

SKIPPED = {"script", "style", "template", "noscript", "svg", "head", "select", "object", "iframe"}
FLOWING = {
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "cite",
    "code",
    "data",
    "del",
    "dfn",
    "em",
    "font",
    "i",
    "ins",
    "kbd",
}
FLOWING |= {
    "label",
    "mark",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "time",
    "tt",
    "u",
    "var",
    "wbr",
}
VOID = {"area", "base", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr", "br"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
MAX_SPAN = 50


class Reader:
    """Collects blocks from the events of lxml's parser."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.title = ""
        self._text: list[str] = []
        self._skipping = ""
        self._depth = 0
        self._in_title = False
        self._heading = 0
        self._code = 0
        self._items = 0
        self._tables: list[list[list[str]]] = []
        self._span = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
            self._in_title = tag == "title"
            return
        if tag in SKIPPED or is_invisible(tag, attributes):
            self._skipping, self._depth = tag, 1
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._text.append("\n")
        elif tag in ("td", "th"):
            self._cell(attributes)
        elif tag == "tr" and self._tables:
            self._finish_cell()
            self._tables[-1].append([])
        elif tag == "table":
            self._open_table()
        elif tag == "img" and attributes.get("alt"):
            self._text.append(f" {attributes['alt']} ")
        elif tag not in FLOWING:
            self._break()
            self._heading = HEADINGS.get(tag, self._heading)
            self._code += tag == "pre"
            self._items += tag == "li"

    def end(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._skipping:
            self._depth -= tag == self._skipping
            if self._depth == 0:
                self._skipping = ""
        elif tag in ("td", "th"):
            self._finish_cell()
        elif tag == "table" and self._tables:
            self._close_table()
        elif tag not in FLOWING and tag not in ("tr", "br", "title"):
            self._break()
            self._heading = 0 if tag in HEADINGS else self._heading
            self._code -= tag == "pre" and self._code > 0
            self._items -= tag == "li" and self._items > 0

    def data(self, text: str) -> None:
        if self._in_title:
            self.title += text
        elif not self._skipping:
            self._text.append(text)

    def comment(self, text: str) -> None:
        """Comments are not shown."""

    def close(self) -> None:
        while self._tables:
            self._close_table()
        self._break()

    def _break(self) -> None:
        if self._tables:
            self._text.append(" ")
            return
        raw, self._text = "".join(self._text), []
        text = raw.strip("\n") if self._code else flattened(raw)
        if not text.strip():
            return
        kind: BlockKind = "list" if self._items else "text"
        if self._heading:
            kind = "heading"
        elif self._code:
            kind = "code"
        self.blocks.append(Block(kind, f"- {text}" if kind == "list" else text, level=self._heading))

    def _open_table(self) -> None:
        if not self._tables:
            self._break()
        else:
            self._finish_cell()
        self._tables.append([])

    def _cell(self, attributes: dict[str, str]) -> None:
        if not self._tables:
            return
        self._finish_cell()
        if not self._tables[-1]:
            self._tables[-1].append([])
        width = attributes.get("colspan", "1")
        self._span = min(int(width), MAX_SPAN) if width.isdecimal() and int(width[:6]) else 1
        self._tables[-1][-1].append("")

    def _finish_cell(self) -> None:
        if not self._tables:
            return
        text, self._text = flattened("".join(self._text)).replace("\n", " "), []
        rows = self._tables[-1]
        if not text and not self._span:
            return
        if rows and rows[-1]:
            rows[-1][-1] = f"{rows[-1][-1]} {text}".strip()
            rows[-1] += [""] * (self._span - 1)
        elif text:
            rows.append([text])
        self._span = 0

    def _close_table(self) -> None:
        self._finish_cell()
        rows = self._tables.pop()
        if self._tables:
            # A table inside a cell reads as the text of that cell.
            self._text.append(" ; ".join(" ".join(filter(None, row)) for row in rows if any(row)))
            return
        if max((len(row) for row in rows), default=0) <= 1:
            self.blocks += [Block("text", row[0]) for row in rows if row and row[0]]
        elif block := table(rows):
            self.blocks.append(block)


def parse(data: bytes | str) -> ParsedDocument:
    """The blocks of an HTML page. Raises Damaged for bytes that are no text."""
    text = data if isinstance(data, str) else decode(data)
    if text is None:
        raise Damaged("the page is not text in any known encoding")
    reader = Reader()
    parser = etree.HTMLParser(target=reader, huge_tree=True, encoding="utf-8")  # type: ignore[arg-type]
    if not text.strip():
        return ParsedDocument(())
    try:
        parser.feed(text.encode("utf-8", "replace"))
        parser.close()
    except etree.LxmlError as error:
        raise Damaged(f"the page cannot be read: {error}") from None
    return ParsedDocument(tuple(merged_lists(reader.blocks)), title=" ".join(reader.title.split()))


def is_invisible(tag: str, attributes: dict[str, str]) -> bool:
    """Text that a browser does not show must not be answered from."""
    style = attributes.get("style", "").replace(" ", "").lower()
    hidden = "hidden" in attributes or "display:none" in style or "visibility:hidden" in style
    return hidden and tag not in VOID and tag not in ("html", "body")


def flattened(raw: str) -> str:
    """White space as a browser shows it; a <br> stays a line end."""
    return (
        "\n".join(filter(None, (" ".join(line.split()) for line in raw.split("\n"))))
        if "\n" in raw
        else " ".join(raw.split())
    )


def merged_lists(blocks: list[Block]) -> list[Block]:
    """Items that follow each other become one list."""
    merged: list[Block] = []
    for block in blocks:
        if block.kind == "list" and merged and merged[-1].kind == "list":
            merged[-1] = Block("list", f"{merged[-1].text}\n{block.text}")
        else:
            merged.append(block)
    return merged
