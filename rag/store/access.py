"""Who may find what: the one place where a reader's rights become a filter on the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rag.errors import BadRequest
from rag.types import Principal


@dataclass(frozen=True, slots=True)
class Access:
    """What a search may see: one tenant, any of the groups, some collections or all, no hidden version."""

    tenant: str
    groups: tuple[str, ...]
    collections: tuple[str, ...] | None = None
    hidden: tuple[int, ...] = ()

    @classmethod
    def of(cls, principal: Principal, *, collection: str | None = None, hidden: Sequence[int] = ()) -> Access:
        """The rights of a principal in one collection or all it may see, less the versions not live."""
        allowed = principal.collections
        if collection is not None:
            allowed = (collection,) if principal.may_see(collection) else ()
        return cls(principal.tenant, principal.groups, allowed, tuple(hidden))

    def wire(self) -> dict[str, Any]:
        """JSON values, as they cross a pipe; `Access(**wire)` is the way back."""
        return asdict(self)


def access_filter(access: Access) -> dict[str, Any]:
    """The filter in Qdrant's JSON form. Raises BadRequest without a tenant.

    No group, or no collection where they are limited, matches nothing.
    """
    if not access.tenant:
        raise BadRequest("a search needs a tenant; the principal has none")
    must: list[dict[str, Any]] = [
        *tenant_filter(access.tenant)["must"],
        {"key": "groups", "match": {"any": list(access.groups)}},
    ]
    if access.collections is not None:
        must.append({"key": "collection", "match": {"any": list(access.collections)}})
    return {"must": must, "must_not": version_filter(access.hidden)["must"] if access.hidden else []}


def tenant_filter(tenant: str) -> dict[str, Any]:
    """All points of a tenant: term statistics are counted over these, so they tell nothing of others."""
    return {"must": [{"key": "tenant", "match": {"value": tenant}}]}


def version_filter(versions: Sequence[int]) -> dict[str, Any]:
    """All points of some document versions."""
    return {"must": [{"key": "version", "match": {"any": list(versions)}}]}
