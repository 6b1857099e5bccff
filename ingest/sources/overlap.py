"""Folders that two declared sources would both list: told before a document is given to the wrong readers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate, permutations
from pathlib import Path

from ingest.sources.declared import Declared, Folder
from ingest.sources.selection import Selection
from rag.errors import SettingsError
from rag.store.queue import is_under


def refuse_overlaps(declared: Sequence[Declared]) -> None:
    """Raises SettingsError for two folder sources of one collection where one lies within the other.

    Patterns of `include` may tell them apart, so those are left to the run, which gives each document to one
    source.
    """
    folders = [each for each in declared if isinstance(each, Folder) and not each.include]
    for outer, inner in permutations(folders, 2):
        if outer.collection == inner.collection and (shared := overlap(outer, inner)):
            raise SettingsError(
                f"sources {outer.name} and {inner.name} both list {shared}, and a document has one set of "
                f"readers: exclude it in {outer.name}, or give them different collections"
            )


def overlap(outer: Folder, inner: Folder) -> str:
    """A path of `inner` that `outer` lists too; empty: none that can be told from the paths alone."""
    for root in map(absolute, outer.paths):
        for path in map(absolute, inner.paths):
            if path == root and not (outer.exclude or inner.exclude):
                return path
            if (
                path != root
                and is_under(path, root)
                and lists(outer.selection(), os.path.relpath(path, root))
            ):
                return path
    return ""


def lists(selection: Selection, relative: str) -> bool:
    """Whether a walk from the root comes to this place."""
    *folders, last = accumulate(relative.split("/"), "{}/{}".format)
    is_hidden = any(part.startswith((".", "~$")) for part in relative.split("/"))
    skipped = any(map(selection.skips, [*folders, last])) or selection.leaves_out(last)
    return not is_hidden and not skipped


def absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())
