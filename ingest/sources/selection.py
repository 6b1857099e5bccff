"""Which items of a source are taken, and who may read them, by patterns over their paths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.store.queue import Listed


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may read what matches. `groups` None: this rule says nothing about groups."""

    match: str
    groups: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of what is taken, and permissions by place.

    A path is taken when it matches one of `include` (empty: everything) and none of `exclude`. Groups: what
    the source itself says of the item; else the last rule that matches and names groups; else `groups`, where
    None leaves it to whoever runs the ingestion. Labels add up.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether an item at this path, relative to its source, is wanted."""
        return (not self.include or matches_any(path, self.include)) and not self.leaves_out(path)

    def leaves_out(self, path: str) -> bool:
        """Whether an item is excluded by name."""
        return matches_any(path, self.exclude)

    def skips(self, folder: str) -> bool:
        """Whether nothing below this folder can be wanted, so that nobody needs to look."""
        # A name that no item has stands for all names: a pattern that ends in ** cannot tell them apart.
        return any(
            pattern.endswith(("/", "/**")) and matches(f"{folder}/\0", pattern) for pattern in self.exclude
        )

    def listed(
        self,
        path: str,
        *,
        uri: str,
        fingerprint: str,
        size_bytes: int = 0,
        name: str = "",
        groups: tuple[str, ...] | None = None,
        owner: str = "",
        labels: tuple[str, ...] = (),
    ) -> Listed:
        """The item at this path with its permissions; `groups`, `owner`, `labels` are the source's own."""
        rules = [rule for rule in self.rules if matches(path, rule.match)]
        if groups is None:
            named = [rule.groups for rule in rules if rule.groups is not None]
            groups = named[-1] if named else self.groups
        owners = [rule.owner for rule in rules if rule.owner]
        every_label = [*self.labels, *(label for rule in rules for label in rule.labels), *labels]
        return Listed(
            uri=uri,
            fingerprint=fingerprint,
            size_bytes=size_bytes,
            name=name or path.rpartition("/")[2],
            groups=None if groups is None else tuple(sorted(set(groups))),
            owner=owner or (owners[-1] if owners else ""),
            labels=tuple(sorted(set(every_label))),
        )


def matches_any(path: str, patterns: Sequence[str]) -> bool:
    return any(matches(path, pattern) for pattern in patterns)


def matches(path: str, pattern: str) -> bool:
    """Whether a path fits a pattern: `*` and `?` stay within a folder, `**` does not, `hr/` is all below hr.

    A pattern without a slash is about the last part of the path, at any depth.
    """
    if "/" not in pattern:
        path = path.rpartition("/")[2]
    return expression(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1024)
def expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression. Raises ValueError for brackets that make no sense."""
    pattern = pattern.removeprefix("/") + ("**" if pattern.endswith("/") else "")
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", pattern, re.DOTALL)
    try:
        return re.compile("".join(translated(part) for part in parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from None


def translated(part: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in fixed:
        return fixed[part]
    if part == "[":
        raise ValueError("a [ without its ]; write [[] for the character itself")
    if part.startswith("["):
        inside = part[1:-1]
        negated = inside.startswith("!")
        escaped = inside.removeprefix("!").replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
        return f"(?!/)[{'^' if negated else ''}{escaped.replace(']', chr(92) + ']')}]"
    return re.escape(part)


def is_storable(name: str) -> bool:
    """Whether a database can hold this name: valid UTF-8 without NUL."""
    try:
        return b"\0" not in name.encode("utf-8")
    except UnicodeEncodeError:
        return False


def shown(name: str) -> str:
    """A name that no database can hold, as it may be shown."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
