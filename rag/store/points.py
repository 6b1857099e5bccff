"""The role of a point store, inside the index process: vectors with ids and what filters need, never text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag.embedding.sparse import SparseVector
from rag.store.access import Access

DENSE = "dense"
SPARSE = "bm25"
KEYWORDS = ("tenant", "collection", "groups")

Hits = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Point:
    """One chunk in the index: its id, both vectors, and who may see it."""

    id: str
    dense: Sequence[float]
    sparse: SparseVector
    tenant: str
    collection: str
    groups: tuple[str, ...]
    version: int

    def payload(self) -> dict[str, Any]:
        """What filters need. Text stays in the database: the index keeps what is deleted on disk."""
        groups = list(self.groups)
        return {
            "tenant": self.tenant,
            "collection": self.collection,
            "groups": groups,
            "version": self.version,
        }


class PointStore(Protocol):
    """Keeps points and finds them. Raises IndexUnavailable, and DiskFull before a write that may not fit."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; one with a known id replaces what it had."""
        ...

    def settle(self, version: int) -> int:
        """Make everything written durable; the number of points of that version."""
        ...

    def delete(self, versions: Sequence[int]) -> None:
        """Remove all points of these document versions."""
        ...

    def versions(self) -> list[tuple[int, int]]:
        """Every version that has points, and how many."""
        ...

    def search(
        self, dense: Sequence[float] | None, sparse: SparseVector | None, *, access: Access, limit: int
    ) -> tuple[Hits, Hits]:
        """The best of each leg, best first, the filter inside; a leg without a query stays empty."""
        ...

    def optimize(self) -> bool:
        """Build what makes large indexes fast, where it is due; whether something was done."""
        ...

    def info(self) -> dict[str, Any]:
        """Facts for `rag status`."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
