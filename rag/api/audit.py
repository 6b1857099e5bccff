"""The audit log over HTTP: rows of the caller's tenant, and whether the chain is whole."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from rag.accounts.audit import Deed, Finding
from rag.api.keys import Ours
from rag.api.state import Auditor

router = APIRouter(prefix="/v1/audit")
PAGE = 1000


class AuditReply(BaseModel):
    """Rows in their order; `next`: what to send as `after` for those behind them, if there may be some."""

    object: Literal["list"] = "list"
    rows: list[Deed]
    next: int | None = None


@router.get("")
async def audit(
    accounts: Ours,
    caller: Auditor,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> AuditReply:
    """Who did what to what in the caller's tenant, oldest first. Numbers have gaps where others' rows are."""
    rows = await asyncio.to_thread(accounts.audit.page, tenant=caller.tenant, after=after, limit=limit)
    return AuditReply(rows=rows, next=rows[-1].seq if len(rows) == limit else None)


@router.get("/verify")
async def verify(accounts: Ours, caller: Auditor) -> Finding:
    """Read the whole chain, of all tenants, and hold it against the exported heads."""
    return await asyncio.to_thread(accounts.audit.verify)
