"""The rows of a query as a source: each row is a document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Connection, RowMapping, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ingest.sources.selection import Selection, is_storable
from ingest.sources.source import Changes
from rag.errors import LimitExceeded, NotFound, SettingsError, SourceError
from rag.store.queue import Listed

PAGED = {"yield_per": 500}
COLUMNS = ("id", "text", "bytes", "title", "updated", "name", "groups", "owner", "labels")
READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}


class SqlSource:
    """A query with columns `id`, `text` or `bytes`, and maybe title, updated, name, groups, owner, labels.

    `updated` is the fingerprint, without it a digest of the row. `name` is a file name; its ending says what
    `bytes` are. Groups and labels are an array, or words apart by commas; NULL: what ingest.toml says.
    """

    def __init__(
        self, *, name: str, url: str, query: str, max_file_bytes: int, selection: Selection | None = None
    ) -> None:
        self.name = name
        # A colon would name a parameter; there is none in the query of a file.
        self._query = query.strip().rstrip(";").replace(":", "\\:")
        self._root = f"sql:{name}"
        self._max_file_bytes = max_file_bytes
        self._selection = selection or Selection()
        # Databases compare a number with a number only, and in a uri everything is text.
        self._id_type: Callable[[str], Any] | None = None
        try:
            self._engine = create_engine(url, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise SettingsError(f"source {name}: the database cannot be used: {error}") from None

    def changes(self, cursor: str = "") -> Changes:
        """All rows, read a few hundred at a time. Raises SourceError."""
        items: dict[str, Listed] = {}
        problems = []
        with self._reading() as connection:
            for row in connection.execute(text(self._query), execution_options=PAGED).mappings():
                key = self._checked(row)
                if key is None or not is_storable(key):
                    problems.append((f"{self._root}/{key}", "a row needs an id that is valid text"))
                elif (uri := f"{self._root}/{quote(key, safe='')}") in items:
                    problems.append((uri, "its id appears more than once; the last row counts"))
                    items[uri] = self._listed(row, uri)
                elif self._selection.takes(file_name(row)):
                    items[uri] = self._listed(row, uri)
        return Changes(tuple(items.values()), (self._root,), problems=tuple(problems))

    def fetch(self, uri: str, into: Path) -> Path:
        """Write the content of a row. Raises NotFound, SourceError, LimitExceeded."""
        key = unquote(uri.removeprefix(f"{self._root}/"))
        query = text(f"SELECT * FROM ({self._query}\n) wanted WHERE wanted.id = :id")
        with self._reading() as connection:
            if self._id_type is None:
                first = connection.execute(text(self._query), execution_options=PAGED).mappings().first()
                self._id_type = type(first["id"]) if first else None
            try:
                wanted = (self._id_type or str)(key)
            except (ValueError, ArithmeticError, TypeError):
                raise NotFound(f"no row {key!r} in {self.name}") from None
            row = connection.execute(query, {"id": wanted}).mappings().first()
            if row is None:
                raise NotFound(f"no row {key!r} in {self.name}")
            data = content(row)
        if len(data) > self._max_file_bytes:
            raise LimitExceeded(f"{len(data)} bytes; ingest.max_file_bytes allows {self._max_file_bytes}")
        into.write_bytes(data)
        return into

    def close(self) -> None:
        """Close connections."""
        self._engine.dispose()

    def _checked(self, row: RowMapping) -> str | None:
        """The id of a row. Raises SourceError when the query gives the wrong columns."""
        unknown = set(row) - set(COLUMNS)
        if unknown or "id" not in row or not {"text", "bytes"} & set(row):
            raise SourceError(
                f"source {self.name}: the query gives {', '.join(map(str, row))}; it needs id "
                f"and text or bytes and may name {', '.join(COLUMNS[3:])}"
            )
        if row["id"] is None:
            return None
        self._id_type = type(row["id"])
        return str(row["id"])

    def _listed(self, row: RowMapping, uri: str) -> Listed:
        groups, labels = words(row.get("groups")), words(row.get("labels"))
        data = content(row)
        return self._selection.listed(
            file_name(row),
            uri=uri,
            fingerprint=str(row["updated"]) if row.get("updated") is not None else digest(row, data),
            size_bytes=len(data),
            groups=groups,
            owner=str(row.get("owner") or ""),
            labels=labels or (),
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A transaction that cannot write and is rolled back in any case."""
        try:
            with self._engine.connect() as connection:
                if statement := READ_ONLY.get(self._engine.dialect.name):
                    connection.execute(text(statement))
                yield connection
                connection.rollback()
        except SQLAlchemyError as error:
            # Without the statement and its parameters, which SQLAlchemy adds.
            raise SourceError(f"source {self.name}: {getattr(error, 'orig', None) or error}") from None


def file_name(row: RowMapping) -> str:
    """The file name of a row's document: its own, or its id with the ending of text or Markdown."""
    ending = "" if row.get("text") is None else ".md" if row.get("title") else ".txt"
    return str(row.get("name") or f"{row['id']}{ending}")


def content(row: RowMapping) -> bytes:
    """The document of a row: its bytes, or its text below its title. Nothing: an empty document."""
    if row.get("text") is None:
        return bytes(row.get("bytes") or b"")
    title, body = row.get("title"), str(row["text"])
    if title:
        is_html = file_name(row).lower().endswith((".html", ".htm"))
        body = f"<title>{escape(str(title))}</title>\n{body}" if is_html else f"# {title}\n\n{body}"
    return body.encode("utf-8", "replace")


def digest(row: RowMapping, data: bytes) -> str:
    """What stands for a row without a column `updated`."""
    return hashlib.sha256(file_name(row).encode("utf-8", "replace") + b"\0" + data).hexdigest()


def words(value: object) -> tuple[str, ...] | None:
    """An array, a JSON array, or words apart by commas. None: the column says nothing."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple | set):
        return None
    return tuple(word for word in (str(each).strip() for each in value) if word)
