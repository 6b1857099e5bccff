"""Tenants: what each may use, and how much of it is in use."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select

from rag.accounts.names import plain
from rag.accounts.tables import tenants
from rag.errors import QuotaExceeded
from rag.settings import LimitsSettings
from rag.store.database import Database
from rag.store.tables import documents


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may use; 0: as much as it likes."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    documents: int = 0
    bytes: int = 0


class Tenants:
    """The quotas of tenants: a row of their own where there is one, else the settings."""

    def __init__(self, database: Database, settings: LimitsSettings) -> None:
        self._database = database
        self._usual = Quota(
            settings.tenant_requests_per_minute,
            settings.tenant_tokens_per_minute,
            settings.tenant_documents,
            settings.tenant_bytes,
        )

    def quota(self, tenant: str) -> Quota:
        """What a tenant may use."""
        with self._database.reading() as connection:
            row = connection.execute(select(tenants).where(tenants.c.name == tenant)).first()
        usual = self._usual
        if row is None:
            return usual
        own = (row.requests_per_minute, row.tokens_per_minute, row.documents, row.bytes)
        ours = (usual.requests_per_minute, usual.tokens_per_minute, usual.documents, usual.bytes)
        return Quota(*(other if mine is None else mine for mine, other in zip(own, ours, strict=True)))

    def limit(self, tenant: str, **quotas: int | None) -> Quota:
        """Give a tenant quotas of its own; None: as in the settings. What is not named stays as it is."""
        name = plain(tenant, "tenant")
        with self._database.writing() as connection:
            row = connection.execute(select(tenants).where(tenants.c.name == name)).first()
            kept = dict(row._mapping) if row else {}
            connection.execute(delete(tenants).where(tenants.c.name == name))
            connection.execute(insert(tenants).values({**kept, **quotas, "name": name}))
        return self.quota(name)

    def check_size(self, tenant: str, size_bytes: int) -> None:
        """Raises QuotaExceeded when a tenant has no room for so many bytes even if it held nothing else."""
        quota = self.quota(tenant)
        if quota.bytes and size_bytes > quota.bytes:
            raise QuotaExceeded(f"{size_bytes} bytes are more than the {quota.bytes} your tenant may hold")

    def check_room(self, tenant: str, size_bytes: int, more: int = 1) -> None:
        """Raises QuotaExceeded when a tenant has no room for so many `more` documents and bytes."""
        quota = self.quota(tenant)
        if not (quota.documents or quota.bytes):
            return
        query = select(func.count(), func.coalesce(func.sum(documents.c.size_bytes), 0)).where(
            documents.c.tenant == tenant, documents.c.parent.is_(None)
        )
        with self._database.reading() as connection:
            count, used = connection.execute(query).one()
        if quota.documents and more > 0 and count + more > quota.documents:
            raise QuotaExceeded(f"your tenant holds {count} documents and may hold {quota.documents}")
        if quota.bytes and size_bytes > 0 and used + size_bytes > quota.bytes:
            raise QuotaExceeded(
                f"your tenant holds {used} bytes and may hold {quota.bytes}: delete some, or ask for more"
            )
