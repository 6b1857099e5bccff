"""robots.txt as RFC 9309 reads it."""

from __future__ import annotations

import time

import pytest

from ingest.sources.robots import parse

TEXT = """\ufeff
# for everybody
User-agent: *
Disallow: /private/
Allow: /private/open
Disallow: /*.pdf$
Disallow: /search?
Crawl-delay: 2

User-agent: other
User-agent: permafrost
Disallow: /only-us # and a remark
Disallow:
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", True),
        ("/private/x", False),
        ("/private/open/x", True),
        ("/a/b.pdf", False),
        ("/a/b.pdf?page=1", True),
        ("/search?q=x", False),
        ("/searching", True),
        ("/only-us", True),
        ("/priv%61te/x", False),
        ("/robots.txt", True),
    ],
)
def test_the_longest_pattern_decides(path: str, expected: bool) -> None:
    assert parse(TEXT, "nobody").allows(path) is expected


def test_a_group_of_our_own_replaces_that_for_everybody() -> None:
    ours = parse(TEXT, "Permafrost")
    assert not ours.allows("/only-us/x") and ours.allows("/private/x")
    assert (ours.delay_s, parse(TEXT, "nobody").delay_s) == (0.0, 2.0)


def test_on_a_tie_allow_wins_and_an_empty_file_allows_all() -> None:
    assert parse("user-agent: *\nallow: /a\ndisallow: /a", "x").allows("/a")
    assert parse("", "x").allows("/a")
    assert not parse("user-agent: *\ndisallow: /", "x").allows("/a")


def test_escapes_are_compared_in_one_spelling() -> None:
    assert not parse("user-agent: *\ndisallow: /caf%c3%a9", "x").allows("/café")


def test_a_hostile_pattern_is_matched_in_no_time() -> None:
    rules = parse("user-agent: *\n" + "disallow: /" + "*a" * 200 + "b$\n", "x")
    started = time.process_time()
    assert rules.allows("/" + "a" * 2000)
    assert time.process_time() - started < 1


def test_an_absurd_delay_is_cut() -> None:
    assert parse("user-agent: *\ncrawl-delay: 86400", "x").delay_s == 30.0
    assert parse("user-agent: *\ncrawl-delay: nan", "x").delay_s == 0.0
