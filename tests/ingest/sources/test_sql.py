"""Rows of a real SQLite database."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.selection import Rule, Selection
from ingest.sources.sql import SqlSource
from rag.errors import LimitExceeded, NotFound, SettingsError, SourceError

QUERY = """SELECT id, title, body AS text, changed AS updated, readers AS "groups", kind AS labels
           FROM article WHERE body <> '12:30:00' -- the bell::rings;"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(tmp_path / "wiki.db")
    database.execute("CREATE TABLE article (id INTEGER, title, body, changed, readers, kind, file)")
    database.executemany(
        "INSERT INTO article VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (1, "Leave", "28 days", "2026-01-01", None, "hr,policy", None),
            (2, None, "140 euros", "2026-01-02", "board, hr", None, None),
            (3, "Bell", "12:30:00", "2026-01-03", None, None, None),
            (4, None, "", None, '["a b"]', None, None),
            (5, None, "nobody", "2026-01-04", "", None, None),
        ],
    )
    database.commit()
    yield database
    database.close()


@pytest.fixture
def opened(database: sqlite3.Connection, tmp_path: Path) -> Iterator[Callable[..., SqlSource]]:
    sources = []

    def opened(query: str = QUERY, **options: Any) -> SqlSource:
        options = {"url": f"sqlite:///{tmp_path}/wiki.db", "max_file_bytes": 1000} | options
        source = SqlSource(name="wiki", query=query, **options)
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.close()


def test_each_row_is_a_document_with_its_permissions(opened: Any) -> None:
    changes = opened(selection=Selection(groups=("all",))).changes("")
    assert changes.roots == ("sql:wiki",) and not changes.problems
    assert [(i.uri, i.name, i.groups, i.labels) for i in changes.items] == [
        ("sql:wiki/1", "1.md", ("all",), ("hr", "policy")),
        ("sql:wiki/2", "2.txt", ("board", "hr"), ()),
        ("sql:wiki/4", "4.txt", ("a b",), ()),
        ("sql:wiki/5", "5.txt", (), ()),
    ]


def test_a_row_is_fetched_by_its_id_also_by_a_source_that_listed_nothing(opened: Any, tmp_path: Path) -> None:
    assert opened().fetch("sql:wiki/1", tmp_path / "into").read_text() == "# Leave\n\n28 days"
    assert opened().fetch("sql:wiki/2", tmp_path / "into").read_text() == "140 euros"
    for gone in ("sql:wiki/3", "sql:wiki/99", "sql:wiki/x", "sql:wiki/1 OR 1=1"):
        with pytest.raises(NotFound):
            opened().fetch(gone, tmp_path / "into")
    with pytest.raises(LimitExceeded, match="16 bytes"):
        opened(max_file_bytes=3).fetch("sql:wiki/1", tmp_path / "into")


def test_updated_is_the_fingerprint_and_else_the_content(opened: Any, database: sqlite3.Connection) -> None:
    plain = "SELECT id, body AS text FROM article WHERE id < 3"
    before = opened().changes("").items + opened(plain).changes("").items
    database.execute("UPDATE article SET body = '30 days' WHERE id = 1")
    database.commit()
    after = opened().changes("").items + opened(plain).changes("").items
    differ = [x.fingerprint != y.fingerprint for x, y in zip(before, after, strict=True)]
    assert differ == [False] * 4 + [True, False]


def test_bytes_keep_their_name_and_odd_ids_their_identity(
    opened: Any, database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE file (key TEXT, data BLOB, name TEXT)")
    database.execute(
        "INSERT INTO file VALUES ('a/b c', x'2550', 'hr/pay.pdf'), (NULL, x'00', 'x'), ('a/b c', x'25', 'y')"
    )
    database.commit()
    source = opened(
        "SELECT key AS id, data AS bytes, name FROM file",
        selection=Selection(rules=(Rule("hr/**", groups=("hr",)),)),
    )
    changes = source.changes("")
    assert [(item.uri, item.name) for item in changes.items] == [("sql:wiki/a%2Fb%20c", "y")]
    assert [reason.partition(" ")[0] for _, reason in changes.problems] == ["a", "its"]
    assert source.fetch("sql:wiki/a%2Fb%20c", tmp_path / "into").read_bytes() in (b"%P", b"%")


def test_an_html_row_shows_its_title_to_the_parser(opened: Any, tmp_path: Path) -> None:
    source = opened("SELECT 1 AS id, '<p>x</p>' AS text, 'A & B' AS title, 'x.html' AS name")
    text = source.fetch("sql:wiki/1", tmp_path / "into").read_text()
    assert text == "<title>A &amp; B</title>\n<p>x</p>"


def test_a_large_table_is_not_held_in_memory(opened: Any, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE large (id INTEGER, body TEXT)")
    database.executemany("INSERT INTO large VALUES (?, ?)", ((n, "x" * 20_000) for n in range(3000)))
    database.commit()
    source = opened("SELECT id, body AS text FROM large")
    tracemalloc.start()
    try:
        assert len(source.changes("").items) == 3000
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_query_cannot_write(opened: Any, database: sqlite3.Connection) -> None:
    with pytest.raises(SourceError, match="readonly"):
        opened("DELETE FROM article RETURNING id, body AS text").changes("")
    assert database.execute("SELECT count(*) FROM article").fetchone() == (5,)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT body AS text FROM article", "the query gives text; it needs id"),
        ("SELECT id, body AS text, kind FROM article", "the query gives id, text, kind"),
        ("SELECT id FROM article", "and text or bytes"),
        ("SELECT absent", "no such column: absent$"),
    ],
)
def test_a_query_with_other_columns_is_an_error(opened: Any, query: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        opened(query).changes("")


@pytest.mark.parametrize("url", ["no address", "nosuchdatabase://x/y"])
def test_an_address_that_makes_no_sense_is_an_error_of_the_settings(opened: Any, url: str) -> None:
    with pytest.raises(SettingsError, match="source wiki: the database cannot be used"):
        opened(url=url)
