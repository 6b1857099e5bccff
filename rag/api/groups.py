"""Groups and their members, kept in step by an identity provider (SCIM). What it changes acts at once."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from rag.api.keys import Ours
from rag.api.scim import GroupBody, Patch, ScimResponse, group_change, group_part, matching, page
from rag.api.state import Admin

router = APIRouter(prefix="/scim/v2/Groups", default_response_class=ScimResponse)
FIELDS = {"displayname": "name", "externalid": "external_id", "id": "id"}


@router.get("")
async def groups(
    accounts: Ours,
    caller: Admin,
    filter: Annotated[str | None, Query(max_length=500, examples=['displayName eq "finance"'])] = None,
    startIndex: Annotated[int, Query(ge=1, le=10**9)] = 1,
    count: Annotated[int, Query(ge=0, le=1000)] = 100,
    excludedAttributes: Annotated[str, Query(max_length=500)] = "",
) -> dict[str, Any]:
    """The groups of the caller's tenant, or the one that a filter names."""
    wanted = matching(filter)
    found = await asyncio.to_thread(accounts.groups.all, caller.tenant)
    if wanted:
        field, value = FIELDS.get(wanted[0], ""), wanted[1].casefold()
        found = [each for each in found if field and str(getattr(each, field)).casefold() == value]
    members = "members" not in excludedAttributes
    return page([group_part(each, members=members) for each in found], startIndex, count)


@router.post("", status_code=201)
async def create(body: GroupBody, request: Request, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """A new group."""
    made = await asyncio.to_thread(
        accounts.groups.create,
        body.displayName,
        caller.tenant,
        user_ids=[each.value for each in body.members],
        external_id=body.externalId or "",
    )
    request.state.object = made.id
    return group_part(made)


@router.get("/{group_id}")
async def group(group_id: str, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """One group."""
    return group_part(await asyncio.to_thread(accounts.groups.get, group_id, caller.tenant))


@router.put("/{group_id}")
async def replace(group_id: str, body: GroupBody, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """Make a group what the body says, its members included."""
    made = await asyncio.to_thread(
        accounts.groups.change,
        group_id,
        caller.tenant,
        name=body.displayName,
        external_id=body.externalId,
        only=[each.value for each in body.members],
    )
    return group_part(made)


@router.patch("/{group_id}")
async def change(group_id: str, body: Patch, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """Let members come and go, or rename a group; all of it or nothing."""
    wanted = group_change(body)
    made = await asyncio.to_thread(
        accounts.groups.change,
        group_id,
        caller.tenant,
        name=wanted.name,
        external_id=wanted.external_id,
        add=wanted.add,
        remove=wanted.remove,
        only=wanted.only,
    )
    return group_part(made)


@router.delete("/{group_id}", status_code=204, response_class=Response)
async def delete(group_id: str, accounts: Ours, caller: Admin) -> None:
    """Remove a group; what only it may read is read by nobody then."""
    await asyncio.to_thread(accounts.groups.delete, group_id, caller.tenant)
