"""A real web server, visited: what is found, what is sent again, and what is gone."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.pages import origin
from ingest.sources.selection import Rule, Selection
from ingest.sources.visitor import Visitor
from ingest.sources.web import WebSource
from rag.errors import LimitExceeded, NotFound, SourceError
from tests.ingest.sources.conftest import Site

Open = Callable[..., WebSource]


@pytest.fixture
def opened(site: Site, tmp_path: Path) -> Open:
    def opened(**options: Any) -> WebSource:
        manners = {
            key: options.pop(key) for key in ("secrets", "max_bytes", "timeout_s", "sleep") if key in options
        }
        manners = {"max_bytes": 100_000, "sleep": lambda seconds: None} | manners
        visitor = Visitor(trusted=[origin(site.url)], allow_private=["127.0.0.1"], **manners)
        options = {"start": [site.url]} | options
        return WebSource(visitor, name="wiki", folder=tmp_path / "sources/wiki", **options)

    return opened


@pytest.fixture
def wiki(site: Site) -> Site:
    site.page("/", '<a href="/a">a</a> <a href="/b#x">b</a> <a href="http://elsewhere.example/">no</a>', "1")
    site.page("/a", '<a href="/c">c</a> the first text', "2")
    site.page("/b", "the second text", "3")
    site.page("/c", "the third text", "4")
    return site


def paths(source: WebSource, site: Site, cursor: str = "") -> list[str]:
    return [item.uri.removeprefix(site.url) for item in source.changes(cursor).items]


def test_a_site_is_followed_by_its_links(opened: Open, wiki: Site, tmp_path: Path) -> None:
    source = opened()
    changes = source.changes("")
    assert [item.uri.removeprefix(wiki.url) for item in changes.items] == ["/", "/a", "/b", "/c"]
    assert changes.roots == (wiki.url,) and not changes.problems
    asked = len(wiki.asked)
    into = source.fetch(f"{wiki.url}/b", tmp_path / "b")
    assert into.read_bytes() == b"the second text" and len(wiki.asked) == asked
    assert source.fetch(f"{wiki.url}/b", tmp_path / "again").read_bytes() == b"the second text"
    assert len(wiki.asked) == asked + 1


def test_unchanged_pages_are_not_sent_again(opened: Open, wiki: Site) -> None:
    first = opened().changes("")
    wiki.asked.clear()
    wiki.page("/b", "another text", "3b")
    second = opened().changes(first.cursor)
    told = {path: headers.get("if-none-match") for path, headers in wiki.asked}
    assert told == {"/robots.txt": None, "/": "1", "/a": "2", "/b": "3", "/c": "4"}
    changed = [
        now.uri
        for then, now in zip(first.items, second.items, strict=True)
        if then.fingerprint != now.fingerprint
    ]
    assert changed == [f"{wiki.url}/b"]


def test_without_etags_the_date_is_used_and_else_the_content_decides(opened: Open, site: Site) -> None:
    site.page("/", "text", **{"last-modified": "Sat, 21 Nov 2026 06:00:00 GMT"})
    first = opened().changes("")
    second = opened().changes(first.cursor)
    assert site.asked[-1][1]["if-modified-since"] == "Sat, 21 Nov 2026 06:00:00 GMT"
    assert second.items == first.items


def test_a_page_that_is_gone_is_told(opened: Open, wiki: Site) -> None:
    first = opened().changes("")
    wiki.answers["/b"] = (410, {}, b"")
    second = opened().changes(first.cursor)
    assert second.gone == (f"{wiki.url}/b",) and second.roots == (wiki.url,)
    assert len(second.items) == 3


def test_a_page_that_fails_stays_with_all_behind_it(opened: Open, wiki: Site) -> None:
    first = opened().changes("")
    wiki.answers["/a"] = (500, {}, b"")
    second = opened().changes(first.cursor)
    assert second.items == first.items
    assert second.problems == ((f"{wiki.url}/a", f"{wiki.url}/a answers 500"),)


def test_behind_a_page_that_was_never_seen_nothing_is_called_gone(opened: Open, wiki: Site) -> None:
    wiki.answers["/a"] = (500, {}, b"")
    changes = opened().changes("")
    assert changes.roots == () and len(changes.items) == 2


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_site_whose_start_fails_is_an_error_and_not_empty(opened: Open, site: Site, status: int) -> None:
    site.answers["/"] = (status, {}, b"")
    with pytest.raises(SourceError, match=f"answers {status}"):
        opened().changes("")


def test_a_site_that_cannot_be_reached_is_an_error(opened: Open, site: Site) -> None:
    with pytest.raises(SourceError, match="127.0.0.1:1"):
        opened(start=["http://127.0.0.1:1/"]).changes("")


def test_a_redirect_leads_to_the_page_and_its_start_must_answer(opened: Open, site: Site) -> None:
    site.answers["/"] = (301, {"location": "/en/"}, b"")
    site.page("/en/", "text")
    assert paths(opened(), site) == ["/en/"]
    site.answers["/en/"] = (403, {}, b"")
    with pytest.raises(SourceError, match="/en/ answers 403"):
        opened().changes("")


def test_a_start_that_leads_elsewhere_says_where(opened: Open, site: Site) -> None:
    site.answers["/"] = (301, {"location": "https://www.example/"}, b"")
    with pytest.raises(SourceError, match="leads to https://www.example/: put that into start"):
        opened().changes("")


def test_redirects_in_a_circle_end(opened: Open, site: Site) -> None:
    site.page("/", '<a href="/x">x</a>')
    site.answers["/x"] = (302, {"location": "/y"}, b"")
    site.answers["/y"] = (302, {"location": "/x"}, b"")
    assert paths(opened(), site) == ["/"]


def test_robots_txt_is_honoured(opened: Open, wiki: Site, tmp_path: Path) -> None:
    wiki.answers["/robots.txt"] = (200, {}, b"User-agent: permafrost\nDisallow: /a\n")
    source = opened()
    assert paths(source, wiki) == ["/", "/b"] and "/a" not in wiki.paths
    with pytest.raises(NotFound):
        source.fetch(f"{wiki.url}/a", tmp_path / "a")
    wiki.answers["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /\n")
    with pytest.raises(SourceError, match="robots.txt asks us to stay out"):
        opened().changes("")
    wiki.answers["/robots.txt"] = (503, {}, b"")
    with pytest.raises(SourceError, match="until it can be read, we stay out"):
        opened().changes("")


def test_visits_are_paced_as_robots_txt_asks(opened: Open, wiki: Site) -> None:
    wiki.answers["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 7\n")
    waits: list[float] = []
    paths(opened(sleep=waits.append), wiki)
    assert len(waits) == 4 and max(waits) > 6 and waits[0] < 1


def test_a_busy_server_is_asked_once_more_when_it_says(opened: Open, site: Site) -> None:
    answers = [(429, {"retry-after": "3"}, b""), (200, {"content-type": "text/html"}, b"text")]
    site.answers["/"] = lambda headers: answers.pop(0)
    waits: list[float] = []
    assert paths(opened(sleep=waits.append), site) == ["/"]
    assert 3.0 in waits


def test_too_many_pages_are_cut_and_nothing_is_called_gone(opened: Open, wiki: Site) -> None:
    changes = opened(max_pages=2).changes("")
    assert len(changes.items) == 2 and changes.roots == ()
    assert "max_pages" in changes.problems[0][1]


def test_depth_and_patterns_bound_the_walk(opened: Open, wiki: Site) -> None:
    assert paths(opened(max_depth=1), wiki) == ["/", "/a", "/b"]
    wiki.asked.clear()
    assert paths(opened(selection=Selection(exclude=("a",))), wiki) == ["/", "/b"]
    assert "/a" not in wiki.paths
    assert paths(opened(selection=Selection(include=("c",))), wiki) == ["/c"]


def test_only_what_lies_within_is_visited(opened: Open, wiki: Site) -> None:
    wiki.page("/docs/", '<a href="/docs/x">x</a><a href="/docsy">y</a><a href="/a">a</a>')
    wiki.page("/docs/x", "text")
    changes = opened(start=[f"{wiki.url}/docs/"], within=[f"{wiki.url}/docs"]).changes("")
    assert [item.name for item in changes.items] == ["docs.html", "x.html"]
    assert wiki.paths == ["/robots.txt", "/docs/", "/docs/x"]


def test_rules_give_permissions_by_path(opened: Open, wiki: Site) -> None:
    rules = (Rule("b", groups=("board",)),)
    listed = opened(selection=Selection(groups=("staff",), rules=rules)).changes("").items
    assert [item.groups for item in listed] == [("staff",), ("staff",), ("board",), ("staff",)]


def test_a_sitemap_and_its_index_name_the_pages(opened: Open, wiki: Site) -> None:
    wiki.answers["/index.xml"] = (
        200,
        {},
        f"<sitemapindex><sitemap><loc>{wiki.url}/1.xml.gz</loc></sitemap>"
        "<sitemap><loc>http://elsewhere.example/2.xml</loc></sitemap></sitemapindex>".encode(),
    )
    pages = f"<urlset><url><loc>{wiki.url}/b</loc></url><url><loc>{wiki.url}/a</loc></url></urlset>"
    wiki.answers["/1.xml.gz"] = (200, {"content-type": "application/gzip"}, gzip.compress(pages.encode()))
    source = opened(start=[], sitemaps=[f"{wiki.url}/index.xml"], max_depth=0)
    assert paths(source, wiki) == ["/b", "/a"]
    wiki.answers["/1.xml.gz"] = (404, {}, b"")
    with pytest.raises(SourceError, match="sitemap .* answers 404"):
        source.changes("")


def test_a_page_beyond_the_limit_is_a_problem(opened: Open, wiki: Site, tmp_path: Path) -> None:
    wiki.page("/b", "x" * 200_000)
    source = opened()
    changes = source.changes("")
    assert len(changes.items) == 3 and "max_file_bytes" in changes.problems[0][1]
    with pytest.raises(LimitExceeded):
        source.fetch(f"{wiki.url}/b", tmp_path / "b")


def test_a_packed_page_is_bounded_by_what_it_unpacks_to(opened: Open, site: Site) -> None:
    site.answers["/"] = (
        200,
        {"content-type": "text/html", "content-encoding": "gzip"},
        gzip.compress(b"x" * 10_000_000),
    )
    assert "max_file_bytes" in opened().changes("").problems[0][1]


def test_an_answer_in_an_encoding_nobody_asked_for_is_refused(opened: Open, site: Site) -> None:
    site.answers["/"] = (
        200,
        {"content-type": "text/html", "content-encoding": "br"},
        b"\x8b\x02\x80text\x03",
    )
    with pytest.raises(SourceError, match="in br, which we did not ask for"):
        opened().changes("")


@pytest.mark.parametrize("path", ["/", "/robots.txt"])
def test_a_server_that_drips_does_not_hold_us(opened: Open, site: Site, path: str) -> None:
    def drops() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.1)
            yield b"x"

    site.answers[path] = lambda headers: (200, {"content-type": "text/html"}, drops())
    started = time.monotonic()
    with pytest.raises(SourceError, match="took longer than 0.5 s"):
        opened(timeout_s=0.5).changes("")
    assert time.monotonic() - started < 8


def test_secrets_go_to_the_site_only(opened: Open, wiki: Site) -> None:
    opened(secrets={"authorization": "Bearer s3cret"}).changes("")
    assert {headers.get("authorization") for _, headers in wiki.asked} == {"Bearer s3cret"}
    asked_before = len(wiki.asked)
    stranger = Visitor(
        trusted=["http://other.example"],
        max_bytes=1000,
        allow_private=["127.0.0.1"],
        secrets={"authorization": "Bearer s3cret"},
    )
    stranger.allows(f"{wiki.url}/")
    stranger.close()
    assert "authorization" not in wiki.asked[asked_before][1]


def test_a_page_that_is_gone_meanwhile_cannot_be_fetched(opened: Open, wiki: Site, tmp_path: Path) -> None:
    source = opened()
    cursor = source.changes("").cursor
    source.changes(cursor)
    for status, error in ((404, NotFound), (302, NotFound), (500, SourceError)):
        wiki.answers["/b"] = (status, {"location": "/a"}, b"")
        with pytest.raises(error):
            source.fetch(f"{wiki.url}/b", tmp_path / "b")
    with pytest.raises(NotFound, match="not part of this source"):
        source.fetch("http://elsewhere.example/", tmp_path / "b")


def test_a_cursor_that_cannot_be_read_costs_a_full_visit_only(opened: Open, wiki: Site) -> None:
    assert paths(opened(), wiki, '{"urls": 3}') == ["/", "/a", "/b", "/c"]


def test_nothing_is_left_when_the_source_is_closed(opened: Open, wiki: Site, tmp_path: Path) -> None:
    source = opened()
    source.changes("")
    assert list((tmp_path / "sources/wiki").iterdir())
    source.close()
    assert not (tmp_path / "sources/wiki").exists()
