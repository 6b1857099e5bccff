"""The role of a point store, inside the index process: vectors with ids and what filters need, never text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rag.embedding.embedder import Vectors
from rag.embedding.sparse import SparseVector
from rag.store.access import Access

DENSE = "dense"
SPARSE = "bm25"
LEARNED = "learned"  # sparse too, but IDF is in its weights already
TOKENS = "tokens"
GRAPH_FROM_POINTS = 20_000  # up to here scanning takes less than 10 ms
KEYWORDS = ("tenant", "collection", "groups", "labels")

Hits = list[tuple[str, float]]
Quantisation = Literal["none", "int8", "binary"]
# Of each document version: the groups that may read it, and its labels.
Rights = Mapping[int, tuple[Sequence[str], Sequence[str]]]

# So many times `limit` candidates are found by the small vectors and scored again by the full ones.
OVERSAMPLING: dict[Quantisation, float] = {"int8": 2.0, "binary": 4.0}


@dataclass(frozen=True, slots=True)
class Point:
    """One chunk in the index: its id, its vectors, and who may see it. `tokens`: one vector per token."""

    id: str
    dense: Sequence[float]
    sparse: SparseVector
    tenant: str
    collection: str
    groups: tuple[str, ...]
    version: int
    labels: tuple[str, ...] = ()
    tokens: Vectors | None = None

    def vectors(self, sparse: str, as_sparse: Callable[[list[int], list[float]], Any]) -> dict[str, Any]:
        """Its vectors by name, as Qdrant's clients take them; `as_sparse` makes the client's sparse one."""
        found: dict[str, Any] = {DENSE: list(self.dense)}
        if self.sparse.indices:
            found[sparse] = as_sparse(self.sparse.indices, self.sparse.values)
        if self.tokens is not None and len(self.tokens):
            found[TOKENS] = self.tokens.tolist()
        return found

    def payload(self) -> dict[str, Any]:
        """What filters need. Text stays in the database: the index keeps what is deleted on disk."""
        return {
            "tenant": self.tenant,
            "collection": self.collection,
            "version": self.version,
            **rights_payload(self.groups, self.labels),
        }


class PointStore(Protocol):
    """Keeps points and finds them. Raises IndexUnavailable, and DiskFull before a write that may not fit."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; one with a known id replaces what it had."""
        ...

    def settle(self, versions: Sequence[int]) -> list[int]:
        """Make everything written durable; the number of points of each of these versions."""
        ...

    def delete(self, versions: Sequence[int]) -> None:
        """Remove all points of these document versions."""
        ...

    def regroup(self, rights: Rights) -> None:
        """Replace the groups and labels on all points of these versions, durably."""
        ...

    def versions(self) -> list[tuple[int, int]]:
        """Every version that has points, and how many."""
        ...

    def search(
        self, dense: Sequence[float] | None, sparse: SparseVector | None, *, access: Access, limit: int
    ) -> tuple[Hits, Hits]:
        """The best of each leg, best first, the filter inside; a leg without a query stays empty."""
        ...

    def rescore(self, tokens: Vectors, ids: Sequence[str], *, access: Access) -> Hits:
        """Max-sim of a question's token vectors with those of these points, best first, the filter inside.

        The sum over the question's tokens of the largest cosine; points without token vectors are left out.
        """
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


def rights_payload(groups: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """The part of a payload that a change of permissions replaces."""
    return {"groups": list(groups), "labels": list(labels)}


def alike(rights: Rights) -> list[tuple[dict[str, list[str]], list[int]]]:
    """Versions put together that get the same payload, so that one write serves them all."""
    versions: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    for version, (groups, labels) in rights.items():
        versions[tuple(groups), tuple(labels)].append(version)
    return [(rights_payload(*held), of) for held, of in versions.items()]
