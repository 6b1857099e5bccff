"""Charts in Office files: their title and the numbers they were drawn from, as a table."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from lxml import etree

from ingest.parsing import markup
from ingest.parsing.blocks import Block, table
from ingest.parsing.grid import Grid

MAX_POINTS = 2000


def drawn(archive: zipfile.ZipFile, folder: str) -> list[Block]:
    """The blocks of every chart below a folder of the package."""
    names = sorted(name for name in archive.namelist() if name.startswith(folder) and name.endswith(".xml"))
    return [block for name in names if "/_rels/" not in name for block in chart(archive, name)]


def chart(archive: zipfile.ZipFile, name: str, *, page: int = 0) -> Iterator[Block]:
    """Title and table of one chart; nothing for a part that is no chart."""
    root = markup.tree(markup.member(archive, name))
    if markup.local(root) != "chartSpace":
        return
    title = " ".join(
        "".join(map(str, each.itertext("{*}t"))) for each in root.iterfind("{*}chart/{*}title//{*}p")
    ).strip()
    if title:
        yield Block("text", title, page=page)
    columns = [series(each) for each in root.iter("{*}ser")]
    if not columns:
        return
    categories = max((found for _, found, _ in columns), key=len)
    grid = Grid()
    for label in ("", *(name for name, _, _ in columns)):
        grid.cell(label)
    for index in sorted({index for _, _, values in columns for index in values} | set(categories)):
        grid.row()
        for values in (categories, *(values for _, _, values in columns)):
            grid.cell(values.get(index, ""))
    if block := table(grid.finished(), page=page):
        yield block


def series(element: etree._Element) -> tuple[str, dict[int, str], dict[int, str]]:
    """Name, categories and values of a series."""
    name = " ".join(
        text for each in element.iterfind("{*}tx") for text in map(str, each.itertext("{*}v"))
    ).strip()
    return name, points(element, "cat", "xVal"), points(element, "val", "yVal")


def points(element: etree._Element, *names: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in names:
        for holder in element.iterfind(f"{{*}}{name}"):
            for point in holder.iter("{*}pt"):
                index = str(point.get("idx", ""))
                if index.isdecimal() and len(found) < MAX_POINTS:
                    text = " ".join("".join(str(each) for each in point.itertext("{*}v")).split())
                    found[int(index)] = short(text)
    return found


def short(text: str) -> str:
    """A number without the digits that only a computer sees."""
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text
