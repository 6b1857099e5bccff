"""What may leave for an external tier: nothing, unless tenant, collection and labels allow it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.errors import EgressDenied
from rag.settings import EgressSettings
from rag.types import Document, Principal

ANY = "*"


@dataclass(frozen=True, slots=True)
class Material:
    """Where a passage comes from: its document's tenant, collection and labels."""

    tenant: str
    collection: str
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Document) -> Material:
        """Where the passages of a document come from."""
        return cls(document.tenant, document.collection, document.labels)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may leave; `reason` names the first thing that forbids it. Collections and labels: of what
    may leave, for the receipt."""

    allowed: bool
    reason: str = ""
    collections: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def enforce(self) -> None:
        """Raises EgressDenied unless it may leave."""
        if not self.allowed:
            raise EgressDenied(self.reason)


class EgressPolicy:
    """The policy of one tier. Without a tenant and a collection in its settings nothing leaves, not even a
    question without passages. No right overrides it."""

    def __init__(self, tier: str, settings: EgressSettings) -> None:
        self.tier, self.settings = tier, settings

    def may_leave(self, principal: Principal, materials: Iterable[Material]) -> Verdict:
        """Whether a question of this reader may leave together with all of these."""
        materials = list(materials)
        if why := self._against(principal) or next(filter(None, map(self._against_one, materials)), ""):
            return Verdict(False, f"{why}; see tiers.{self.tier}.egress")
        labels = {label for each in materials for label in each.labels}
        return Verdict(
            True, "", tuple(sorted({each.collection for each in materials})), tuple(sorted(labels))
        )

    def _against(self, principal: Principal) -> str:
        if not self.settings.collections:
            return "no collection may leave"
        if not allowed(principal.tenant, self.settings.tenants):
            return f"questions of tenant {principal.tenant!r} may not leave"
        return ""

    def _against_one(self, material: Material) -> str:
        if not allowed(material.tenant, self.settings.tenants):
            return f"documents of tenant {material.tenant!r} may not leave"
        if not allowed(material.collection, self.settings.collections):
            return f"documents of collection {material.collection!r} may not leave"
        barred = [label for label in material.labels if not allowed(label, self.settings.labels)]
        return f"documents labelled {barred[0]!r} may not leave" if barred else ""


def allowed(name: str, listed: Iterable[str]) -> bool:
    """Whether a name is listed, or all are."""
    listed = tuple(listed)
    return name in listed or ANY in listed
