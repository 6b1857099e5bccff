"""Markdown line by line: headings, lists, tables, code. Linear in the length of the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ingest.parsing import text as plain
from ingest.parsing.blocks import Block, BlockKind, ParsedDocument, table
from ingest.parsing.visibility import warning

ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
RULE = re.compile(r"^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
DASHES = re.compile(r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\([^()\s]{0,2000}(?:[ \t]+\"[^\"]{0,500}\")?\)")
EMPHASIS = re.compile(r"(\*\*|__|~~|`)(?=\S)([^*_~`]{1,500})\1")
# A link's target given apart, which is not shown; `[//]: # (...)` is how Markdown writes remarks.
DEFINITION = re.compile(
    r"^ {0,3}\[[^\]]{1,200}\]:[ \t]*\S+(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?[ \t]*$"
)
REMARK = re.compile(r"^ {0,3}\[[^\]]*\]:[ \t]*<?#>?[ \t]+\S")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")


@dataclass
class Reader:
    """Collects lines until the block they belong to ends. `hidden`: remarks that no reader sees."""

    last_comment_end: int = -1
    blocks: list[Block] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    kind: BlockKind = "text"
    fence: str = ""
    in_comment: bool = False
    hidden: int = 0

    def flush(self) -> None:
        if self.lines:
            body = "\n".join(self.lines).rstrip()
            if self.kind == "table":
                rows = [cells(line) for line in self.lines if not DASHES.match(line)]
                if block := table(rows):
                    self.blocks.append(block)
            elif body:
                self.blocks.append(Block(self.kind, body if self.kind == "code" else inline(body).strip()))
        self.lines, self.kind = [], "text"

    def heading(self, text: str, level: int) -> None:
        self.flush()
        if text.strip():
            self.blocks.append(Block("heading", inline(text).strip(), level=level))

    def add(self, line: str, kind: BlockKind) -> None:
        if kind != self.kind:
            self.flush()
        self.kind = kind
        self.lines.append(line)

    def uncommented(self, line: str, number: int) -> str:
        """What a line shows. A comment that never ends is text: it may be a comment's mark, quoted."""
        shown = ""
        while True:
            if self.in_comment:
                _, end, line = line.partition("-->")
                if not end:
                    return shown
                self.in_comment = False
            before, start, rest = line.partition("<!--")
            if not start or ("-->" not in rest and number >= self.last_comment_end):
                return shown + line
            shown, line, self.in_comment = shown + before, rest, True
            self.hidden += 1


def parse(data: bytes) -> ParsedDocument:
    """The blocks of a Markdown text."""
    lines = front_matter_removed(plain.read(data).split("\n"))
    last = max((number for number, line in enumerate(lines) if "-->" in line), default=-1)
    reader = Reader(last)
    for number, line in enumerate(lines):
        mark = FENCE.match(line)
        if reader.fence:
            if mark and mark.group(1).startswith(reader.fence) and not line.strip(" `~"):
                reader.fence = ""
                reader.flush()
            else:
                reader.add(line, "code")
        elif mark and not reader.in_comment:
            reader.flush()
            reader.fence = mark.group(1)
        elif DEFINITION.match(line) and not reader.in_comment:
            reader.hidden += REMARK.match(line) is not None
        elif (shown := reader.uncommented(line, number)) or not line:
            read_line(reader, shown)
    reader.flush()
    title = next((block.text for block in reader.blocks if block.kind == "heading"), "")
    return ParsedDocument(tuple(reader.blocks), title=title, warnings=warning(reader.hidden))


def read_line(reader: Reader, line: str) -> None:
    """One line outside of fenced code."""
    if line.startswith(("    ", "\t")) and (reader.kind == "code" or not reader.lines):
        reader.add(line.removeprefix("\t").removeprefix("    "), "code")
    elif heading := ATX.match(line):
        reader.heading(heading.group(2), len(heading.group(1)))
    elif UNDERLINE.match(line) and reader.kind == "text" and len(reader.lines) == 1:
        text = reader.lines.pop()
        reader.heading(text, 1 if "=" in line else 2)
    elif not line.strip():
        # A blank line inside a list or code does not end it; the next line that is of another kind does.
        if reader.kind == "code":
            reader.lines.append("")
        elif reader.kind != "list":
            reader.flush()
    elif RULE.match(line):
        reader.flush()
    elif ITEM.match(line):
        reader.add(line, "list")
    elif line.lstrip().startswith("|") or (reader.kind == "table" and "|" in line):
        reader.add(line, "table")
    elif DASHES.match(line) and "|" in line and reader.kind == "text" and reader.lines:
        header = reader.lines.pop()
        reader.flush()
        reader.add(header, "table")
    elif reader.kind == "list" and line.startswith(" "):
        reader.add(line, "list")
    else:
        reader.add(line, "text")


def front_matter_removed(lines: list[str]) -> list[str]:
    """The lines without a YAML header."""
    if lines and lines[0].strip() == "---":
        for index in range(1, min(len(lines), 100)):
            if lines[index].strip() in ("---", "..."):
                return lines[index + 1 :]
    return lines


def cells(line: str) -> list[str]:
    return [inline(cell).strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def inline(text: str) -> str:
    """Text without the marks of links, emphasis and tags."""
    return TAG.sub("", EMPHASIS.sub(r"\2", LINK.sub(r"\1", text)))
