"""Links and sitemaps."""

from __future__ import annotations

import gzip

import pytest

from ingest.sources import pages


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("b", "http://h/a/b"),
        ("../b#part", "http://h/b"),
        ("//H2:80/x", "http://h2/x"),
        ("HTTP://h/%7ex", "http://h/~x"),
        ("?q=1", "http://h/a/?q=1"),
        (" /x y ", "http://h/x%20y"),
        ("https://h", "https://h/"),
        ("mailto:a@b", ""),
        ("javascript:alert(1)", ""),
        ("file:///etc/passwd", ""),
        ("http://user:secret@h/", ""),
        ("http://[::1", ""),
        ("http://h:99999/", ""),
        ("/" + "x" * 3000, ""),
    ],
)
def test_an_address_has_one_spelling(href: str, expected: str) -> None:
    assert pages.canonical(href, "http://h/a/") == expected


def test_links_come_once_in_order_and_from_their_base() -> None:
    html = b"""<html><head><base href="/docs/"></head><body><a href="b">1</a> <a href="a#x">2</a>
    <a href="a">3</a><a href="c" rel="external nofollow">4</a><map><area href="/d"></map><a>5</a>"""
    assert pages.links(html, "http://h/start") == ("http://h/docs/b", "http://h/docs/a", "http://h/d")


@pytest.mark.parametrize("html", [b"", b"\0\0\0", b"\xff\xfe", b"<a href=" * 10_000, b"<div>" * 100_000])
def test_what_is_hardly_html_has_no_links_and_does_no_harm(html: bytes) -> None:
    assert pages.links(html, "http://h/") == ()


SITEMAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc> http://h/a </loc><lastmod>2026-01-01</lastmod></url><url><loc>ftp://h/b</loc></url></urlset>"""


def test_a_sitemap_names_pages_plain_or_packed() -> None:
    assert pages.sitemap(SITEMAP) == pages.sitemap(gzip.compress(SITEMAP)) == (["http://h/a"], [])


def test_an_index_names_further_sitemaps() -> None:
    index = b"<sitemapindex><sitemap><loc>http://h/1.xml</loc></sitemap></sitemapindex>"
    assert pages.sitemap(index) == ([], ["http://h/1.xml"])


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % (c, *[c - 1] * 8) for c in range(98, 110))
    + b"]><urlset><url><loc>&m;</loc></url></urlset>"
)


@pytest.mark.parametrize(
    "data", [b"", b"<html/>", b"\x1f\x8bnot gzip", b"<urlset>", gzip.compress(b"<urlset>")]
)
def test_what_is_no_sitemap_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        pages.sitemap(data)


def test_a_sitemap_cannot_unpack_to_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_SITEMAP_BYTES", 10_000)
    with pytest.raises(ValueError, match="more than 10000 bytes"):
        pages.sitemap(gzip.compress(b" " * 100_000))


def test_entities_are_not_expanded() -> None:
    with pytest.raises(ValueError, match="amplification"):
        pages.sitemap(BOMB)
    leak = b'<!DOCTYPE x [<!ENTITY p SYSTEM "file:///etc/hostname">]><urlset><url><loc>http://h/&p;</loc></url></urlset>'
    assert pages.sitemap(leak) == (["http://h/"], [])


def test_a_file_name_shows_the_type() -> None:
    assert pages.file_name("http://h/docs/", "text/html") == "docs.html"
    assert pages.file_name("http://h/", "text/html") == "index.html"
    assert pages.file_name("http://h/a%20b.pdf?x=1", "application/pdf") == "a b.pdf"
