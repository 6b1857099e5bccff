"""The role of a source: which documents there are, what changed since last time, and their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rag.store.queue import Listed


@dataclass(frozen=True, slots=True)
class Changes:
    """What a source has. `items`: the documents that are there, all or those that changed.

    Below each uri of `roots` the list is complete: what the catalog holds there beyond `items` is gone.
    `gone`: uris that the source says it deleted. `cursor`: hand it in next time; empty: none.
    `problems`: names with the reason why they could not be listed. `mounts`: those of `roots` that look empty
    when what belongs there is not mounted.
    """

    items: tuple[Listed, ...]
    roots: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    cursor: str = ""
    problems: tuple[tuple[str, str], ...] = ()
    mounts: tuple[str, ...] = ()


class Source(Protocol):
    """Where documents come from. Called from threads: `changes` once at a time, `fetch` by several."""

    @property
    def name(self) -> str:
        """Its name in ingest.toml; empty for paths given on the command line."""
        ...

    def changes(self, cursor: str) -> Changes:
        """What is there; `cursor` is that of the last finished run, empty the first time.

        Raises SourceError when it cannot be reached, NotFound when what was asked for is not there.
        """
        ...

    def fetch(self, uri: str, into: Path) -> Path:
        """A file with the bytes: one that is there already, or `into`, which this call writes.

        Raises NotFound when the document is gone meanwhile, SourceError when it cannot be had now, Forbidden
        when it is refused to us until it changes, LimitExceeded over ingest.max_file_bytes.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


__all__ = ["Changes", "Listed", "Source"]
