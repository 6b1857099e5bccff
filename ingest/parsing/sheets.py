"""Spreadsheets through calamine: xlsx, xlsm, xlsb, xls, ods. Macros are never run."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetVisibleEnum

from ingest.parsing import charts
from ingest.parsing.archive import check_zip
from ingest.parsing.blocks import Block, ParsedDocument, table
from rag.errors import Damaged, LimitExceeded, NeedsPassword

MAX_CELLS = 5_000_000
CELL = re.compile(rb'<c\b[^>]*?\br="([A-Z]{1,3})(\d{1,7})"')
NUMBER = re.compile(r"[-+(]?[\d.,\s]*\d[\d.,\s]*[)%]?")
PIECE = 1 << 20


def parse(data: bytes) -> ParsedDocument:
    """Every visible sheet as a heading and its tables. Raises NeedsPassword, Damaged or LimitExceeded."""
    drawings: list[Block] = []
    if data.startswith(b"PK"):
        check_zip(data)
        check_bounds(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            drawings = charts.drawn(archive, "xl/charts/")
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = workbook.sheets_metadata
        shown = [each.name for each in sheets if each.visible == SheetVisibleEnum.Visible]
        blocks: list[Block] = []
        # A sheet has a name, not a page: the heading says where a row stands.
        for name in shown:
            if found := list(tables(cells(workbook.get_sheet_by_name(name)))):
                blocks += [Block("heading", name, level=1), *found]
    except PasswordError:
        raise NeedsPassword("the workbook is encrypted; put its password into ingest.passwords") from None
    except (CalamineError, OSError, ValueError) as error:
        raise Damaged(f"the workbook cannot be read: {error}") from None
    hidden = len(sheets) - len(shown)
    warnings = (f"{hidden} hidden sheets left out",) if hidden else ()
    return ParsedDocument((*blocks, *drawings), pages=len(sheets), warnings=warnings)


def cells(sheet: CalamineSheet) -> list[list[str]]:
    """The written cells of a sheet; what is merged over several rows stands in each of them."""
    rows = [[written(cell) for cell in row] for row in sheet.to_python(skip_empty_area=True)]
    top, left = sheet.start or (0, 0)
    for (first, column), (last, _) in sheet.merged_cell_ranges or ():
        column, first, last = column - left, first - top, min(last - top, len(rows) - 1)
        if 0 <= first < last and 0 <= column < len(rows[first]):
            for row in rows[first + 1 : last + 1]:
                row[column] = row[column] or rows[first][column]
    return rows


def tables(rows: list[list[str]]) -> Iterator[Block]:
    """The tables of a sheet, which empty rows part where the next one begins with names, not with numbers."""
    region: list[list[str]] = []
    parted = False
    for row in [*rows, []]:
        if not any(row):
            parted = True
            continue
        if parted and region and is_header(row):
            yield from one(region)
            region = []
        region.append(row)
        parted = False
    yield from one(region)


def is_header(row: list[str]) -> bool:
    """Whether a row names columns, or is a title alone: words and no number."""
    return not any(NUMBER.fullmatch(cell) for cell in row)


def one(region: list[list[str]]) -> Iterator[Block]:
    """A table, or a line of text where only one cell is filled."""
    filled = [cell for row in region for cell in row if cell.strip()]
    if len(filled) == 1:
        yield Block("text", filled[0])
    elif block := table(region):
        yield block


def written(cell: Any) -> str:
    """A cell as a person would write it."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.12g}"
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell)


def check_bounds(data: bytes) -> None:
    """Two cells in opposite corners make calamine allocate the whole grid and abort: count before."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
                count_cells(archive, name)


def count_cells(archive: zipfile.ZipFile, name: str) -> None:
    count, last_row, last_column = 0, 0, 0
    rest = b""
    try:
        with archive.open(name) as stream:
            while piece := stream.read(PIECE):
                piece = rest + piece
                for column, row in CELL.findall(piece):
                    count += 1
                    last_row = max(last_row, int(row))
                    last_column = max(last_column, column_number(column))
                rest = piece[piece.rfind(b"<") :]
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise Damaged(f"{name} cannot be unpacked: {error}") from None
    if count > MAX_CELLS or last_row * last_column > 20 * count + MAX_CELLS:
        grid = f"{last_row} x {last_column} grid with {count} cells"
        raise LimitExceeded(f"a sheet is a {grid}, the limit is {MAX_CELLS}")


def column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
