"""Spreadsheets through calamine: xlsx, xlsm, xlsb, xls, ods. One table per sheet."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from ingest.parsing.archive import check_zip
from ingest.parsing.blocks import Block, ParsedDocument, table
from rag.errors import Damaged, LimitExceeded, NeedsPassword

MAX_CELLS = 5_000_000
CELL = re.compile(rb'<c\b[^>]*?\br="([A-Z]{1,3})(\d{1,7})"')
PIECE = 1 << 20


def parse(data: bytes) -> ParsedDocument:
    """Every sheet as a heading and a table. Raises NeedsPassword, Damaged or LimitExceeded."""
    if data.startswith(b"PK"):
        check_zip(data)
        check_bounds(data)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        blocks: list[Block] = []
        # A sheet has a name, not a page: the heading says where a row stands.
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=True)
            if block := table([[written(cell) for cell in row] for row in rows]):
                blocks += [Block("heading", name, level=1), block]
    except PasswordError:
        raise NeedsPassword("the workbook is encrypted; remove the password and ingest it again") from None
    except (CalamineError, OSError, ValueError) as error:
        raise Damaged(f"the workbook cannot be read: {error}") from None
    return ParsedDocument(tuple(blocks), pages=len(workbook.sheet_names))


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
