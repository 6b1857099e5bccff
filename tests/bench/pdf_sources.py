"""Documents whose words, headings and tables are known, set in one or two columns and written as PDF."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.pdf_writer import PdfPage, text_width, written

VOCABULARY = (
    "pump valve record policy travel expense invoice calibration schedule inspector warehouse approval "
    "customer delivery contract supplier quality audit sample pressure temperature gauge report annual "
    "monthly budget request manager team office safety training equipment maintenance procedure storage "
    "shipment damage insurance warranty repair replacement component assembly factory measurement tolerance"
)
WORDS = VOCABULARY.split()
LINKS = "the of and to in for with on by from after before each every one must may is are was not".split()  # noqa: SIM905
BODY, LEADING = 9.5, 1.22


@dataclass
class Source:
    """What a document says, in reading order."""

    words: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    pages: int = 0
    data: bytes = b""


class Writer:
    """Sets text column by column and notes what it set."""

    def __init__(self, seed: int, columns: int) -> None:
        self.random = random.Random(seed)
        self.source = Source()
        self.pages: list[PdfPage] = []
        self.columns = columns
        self.width = 455.0 if columns == 1 else 218.0
        self.title = self.phrase(4).title()
        self.column = columns
        self.y = 0.0
        self._next_column()

    def _next_column(self) -> None:
        self.column += 1
        if self.column >= self.columns:
            page = PdfPage()
            self.pages.append(page)
            page.text(70, 805, self.title, 8)
            page.text(70, 30, f"Page {len(self.pages)}", 8)
            page.text(400, 30, "Internal use only", 8)
            self.column = 0
        self.x = 70 + self.column * (self.width + 19)
        self.y = 770.0

    def room(self, height: float) -> None:
        """Go on in the next column if this one has less room than that."""
        if self.y - height < 60:
            self._next_column()

    def phrase(self, count: int) -> str:
        """Words that look like a language."""
        chosen = [self.random.choice(WORDS if at % 2 == 0 else LINKS + WORDS) for at in range(count)]
        return " ".join(chosen)

    def heading(self, level: int, number: str) -> None:
        """A numbered heading, larger than the body or bold in its size."""
        size = {1: 15.0, 2: 11.5, 3: BODY}[level]
        text = f"{number} {self.phrase(self.random.randint(2, 6)).capitalize()}"
        lines = wrapped(text, self.width, size, "F2")
        self.room((len(lines) + 3) * size * LEADING)
        self.y -= 0.9 * size
        for line in lines:
            self._set(line, size, "F2")
        self.y -= 0.35 * size
        self.source.headings.append(text)
        self.source.words += text.split()

    def paragraph(self) -> None:
        """Some sentences; now and then a word is cut at the end of a line, or one stands in bold."""
        text = ". ".join(
            self.phrase(self.random.randint(6, 18)).capitalize() for _ in range(self.random.randint(2, 5))
        )
        text += "."
        for line in wrapped(text, self.width, BODY, "F1", cut=self.random):
            self.room(BODY * LEADING)
            self._set(line, BODY, "F1")
        self.y -= 0.6 * BODY
        self.source.words += text.split()

    def items(self) -> None:
        """A list with bullets."""
        for _ in range(self.random.randint(2, 5)):
            text = self.phrase(self.random.randint(4, 14))
            for number, line in enumerate(wrapped(text, self.width - 14, BODY, "F1")):
                self.room(BODY * LEADING)
                if number == 0:
                    self.pages[-1].text(self.x, self.y - BODY, "\u2022", BODY)
                self._set(line, BODY, "F1", indent=14)
            self.source.words += ["\u2022", *text.split()]
        self.y -= 0.6 * BODY

    def _set(self, line: str, size: float, font: str, *, indent: float = 0.0) -> None:
        self.pages[-1].text(self.x + indent, self.y - size, line, size, font)
        self.y -= size * LEADING

    def table(self, style: str) -> None:
        """A table with all rules ("grid"), with three ("open"), or with none ("plain"); cells may wrap."""
        count = self.random.randint(3, 5 if self.columns == 1 else 4)
        wrap = self.random.random() < 0.5
        shares = [0.26, 0.40 if count > 3 else 0.46]
        shares += [(1 - sum(shares)) / (count - 2)] * (count - 2)
        widths = [share * self.width for share in shares]
        font_size = 8.5
        rows = [[self.word(width - 8, font_size) for width in widths]]
        for _ in range(self.random.randint(3, 9)):
            words = self.random.randint(4, 9) if wrap else 2
            rest = [self.amount(width - 8, font_size) for width in widths[2:]]
            rows.append([self.phrase(2).capitalize(), self.phrase(words), *rest])
        laid = [
            [
                wrapped(cell, width - 8, font_size, "F2" if row is rows[0] else "F1")
                for cell, width in zip(row, widths, strict=True)
            ]
            for row in rows
        ]
        heights = [max(map(len, cells)) * font_size * LEADING + 6 for cells in laid]
        self.room(sum(heights) + 10)
        self._rules(style, widths, heights)
        for number, (cells, height) in enumerate(zip(laid, heights, strict=True)):
            x = self.x
            for at, (lines, width) in enumerate(zip(cells, widths, strict=True)):
                font = "F1" if number else "F2"
                for down, line in enumerate(lines):
                    # Numbers stand on the right, as they do in reports.
                    shift = width - 4 - text_width(line, font_size, font) if at >= 2 else 4
                    y = self.y - 3 - font_size - down * font_size * LEADING
                    self.pages[-1].text(x + shift, y, line, font_size, font)
                x += width
            self.y -= height
        self.y -= BODY
        for row in rows:
            self.source.rows.append(tuple(row))
            self.source.words += " ".join(row).split()

    def _rules(self, style: str, widths: Sequence[float], heights: Sequence[float]) -> None:
        page, right, bottom = self.pages[-1], self.x + sum(widths), self.y - sum(heights)
        if style in ("grid", "open"):
            levels = [self.y, self.y - heights[0], bottom]
            if style == "grid":
                levels = [self.y - sum(heights[:at]) for at in range(len(heights) + 1)]
            for level in levels:
                page.line(self.x, level, right, level)
        if style == "grid":
            for at in range(len(widths) + 1):
                x = self.x + sum(widths[:at])
                page.line(x, self.y, x, bottom)

    def word(self, width: float, size: float) -> str:
        """A column's name that fits."""
        names = [word.capitalize() for word in (*WORDS, "Unit", "Price", "Year", "Net", "Sum")]
        return self.random.choice([name for name in names if text_width(name, size, "F2") <= width])

    def amount(self, width: float, size: float) -> str:
        """A number that fits, as tables have them."""
        while True:
            found = f"{self.random.randint(1, 99999) / 10 ** self.random.randint(0, 2):,.2f}"
            if text_width(found, size) <= width:
                return found


def wrapped(
    text: str, width: float, size: float, font: str, *, cut: random.Random | None = None
) -> list[str]:
    """The text in lines of at most this width; with `cut`, one long word in six is cut at a line end."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size, font) <= width:
            line = longer
            continue
        if cut and len(word) > 7 and cut.random() < 0.17:
            start = f"{line} {word[:4]}-"
            if text_width(start, size, font) <= width:
                lines.append(start)
                line = word[4:]
                continue
        lines.append(line)
        line = word
    return [*filter(None, lines), line]


def generated(seed: int, *, columns: int, sections: int = 8) -> Source:
    """A handbook of some pages."""
    writer = Writer(seed, columns)
    for chapter in range(1, sections + 1):
        writer.heading(1, f"{chapter}")
        writer.paragraph()
        for section in range(1, writer.random.randint(2, 4)):
            writer.heading(2, f"{chapter}.{section}")
            for _ in range(writer.random.randint(1, 3)):
                writer.paragraph()
            choice = writer.random.random()
            if choice < 0.5:
                writer.table(writer.random.choice(("grid", "open", "plain")))
                writer.paragraph()
            elif choice < 0.7:
                writer.items()
            elif choice < 0.85:
                writer.heading(3, f"{chapter}.{section}.1")
                writer.paragraph()
    source = writer.source
    source.pages, source.data = len(writer.pages), written(writer.pages, title=writer.title)
    return source
