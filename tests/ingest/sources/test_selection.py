"""Patterns, and who may read what matches."""

from __future__ import annotations

import pytest

from ingest.sources.selection import Rule, Selection, matches


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("hr/pay/2026.pdf", "hr/**", True),
        ("hr/pay/2026.pdf", "hr/", True),
        ("hr/pay/2026.pdf", "hr/*", False),
        ("chr/pay.pdf", "hr/**", False),
        ("a/hr/pay.pdf", "hr/**", False),
        ("a/hr/pay.pdf", "**/hr/**", True),
        ("hr/pay.pdf", "**/hr/**", True),
        ("a/b/notes.md", "*.md", True),
        ("a/b/notes.md", "/*.md", False),
        ("notes.md", "/*.md", True),
        ("notes.mdx", "*.md", False),
        ("v1/a.txt", "v?/*.txt", True),
        ("v12/a.txt", "v[0-9][!3]/a.txt", True),
        ("v13/a.txt", "v[0-9][!3]/a.txt", False),
        ("a+b (1).txt", "a+b (1).txt", True),
        ("a[1].txt", "a[[]1].txt", True),
        ("line\nbreak.txt", "*.txt", True),
    ],
)
def test_a_pattern_matches_as_in_git_ignore_files(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


@pytest.mark.parametrize("pattern", ["a[", "[z-a]", "[]"])
def test_brackets_that_make_no_sense_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        matches("a", pattern)


def test_the_last_rule_that_names_groups_decides_and_labels_add_up() -> None:
    selection = Selection(
        groups=("everyone",),
        labels=("internal",),
        rules=(
            Rule("hr/**", groups=("hr",), labels=("personal",)),
            Rule("hr/open/**", groups=("everyone", "guests")),
            Rule("*.xlsx", labels=("table",), owner="finance"),
        ),
    )
    pay = selection.listed("hr/pay.xlsx", uri="u", fingerprint="f")
    assert (pay.groups, pay.labels, pay.owner) == (("hr",), ("internal", "personal", "table"), "finance")
    assert selection.listed("hr/open/a.md", uri="u", fingerprint="f").groups == ("everyone", "guests")
    assert selection.listed("a.md", uri="u", fingerprint="f").groups == ("everyone",)


def test_what_the_source_says_of_an_item_comes_before_the_rules() -> None:
    selection = Selection(groups=("everyone",), rules=(Rule("**", groups=("staff",)),))
    assert selection.listed("a", uri="u", fingerprint="f", groups=("board",)).groups == ("board",)
    assert selection.listed("a", uri="u", fingerprint="f", groups=()).groups == ()
    assert Selection().listed("a", uri="u", fingerprint="f").groups is None


def test_a_folder_is_skipped_only_if_all_below_it_is_excluded() -> None:
    selection = Selection(include=("*.md",), exclude=("build/", "**/node_modules/**", "old/*", "*.md/"))
    assert [selection.skips(each) for each in ("build", "a/node_modules", "old", "src")] == [
        True,
        True,
        False,
        False,
    ]
    assert selection.takes("src/a.md") and not selection.takes("build/a.md") and not selection.takes("a.txt")
