"""Users, kept in step by an identity provider (SCIM). Who is not active is refused at the next request."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from rag.accounts.accounts import EVERYONE, Accounts
from rag.accounts.users import SignIn, User
from rag.api.keys import Ours
from rag.api.scim import Patch, ScimResponse, UserBody, matching, page, user_change, user_part
from rag.api.state import Admin

router = APIRouter(prefix="/scim/v2/Users", default_response_class=ScimResponse)
FIELDS = {"username": "name", "externalid": "external_id", "id": "id"}


@router.get("")
async def users(
    accounts: Ours,
    caller: Admin,
    filter: Annotated[str | None, Query(max_length=500, examples=['userName eq "ann"'])] = None,
    startIndex: Annotated[int, Query(ge=1, le=10**9)] = 1,
    count: Annotated[int, Query(ge=0, le=1000)] = 100,
) -> dict[str, Any]:
    """The users of the caller's tenant, or the one that a filter names."""
    wanted = matching(filter)
    found = await asyncio.to_thread(accounts.users.all, caller.tenant)
    if wanted:
        field, value = FIELDS.get(wanted[0], ""), wanted[1].casefold()
        found = [each for each in found if field and str(getattr(each, field)).casefold() == value]
    return page([user_part(each) for each in found], startIndex, count)


@router.post("", status_code=201)
async def create(body: UserBody, request: Request, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """A new user, a reader in the group everyone, who signs in through the provider."""
    made = await asyncio.to_thread(entered, body, accounts, caller.tenant)
    request.state.object = made.id
    return user_part(made)


@router.get("/{user_id}")
async def user(user_id: str, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """One user."""
    return user_part(await asyncio.to_thread(accounts.users.get, user_id, caller.tenant))


@router.put("/{user_id}")
async def replace(user_id: str, body: UserBody, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """Make a user what the body says."""
    fields = {"name": body.userName}
    if body.externalId is not None:
        fields["external_id"] = body.externalId
    made = await asyncio.to_thread(changed, accounts, user_id, caller.tenant, fields, body.active)
    return user_part(made)


@router.patch("/{user_id}")
async def change(user_id: str, body: Patch, accounts: Ours, caller: Admin) -> dict[str, Any]:
    """Rename a user, or let him in or not."""
    fields, active = user_change(body)
    return user_part(await asyncio.to_thread(changed, accounts, user_id, caller.tenant, fields, active))


@router.delete("/{user_id}", status_code=204, response_class=Response)
async def delete(user_id: str, accounts: Ours, caller: Admin) -> None:
    """Suspend a user and take him out of every group. What he did stays in the audit log under his name."""
    await asyncio.to_thread(expelled, accounts, user_id, caller.tenant)


def entered(body: UserBody, accounts: Accounts, tenant: str) -> User:
    """A user of the provider. Raises AlreadyExists."""
    made = accounts.users.create(
        body.userName, tenant, sign_in=SignIn.OIDC, external_id=body.externalId or ""
    )
    accounts.groups.put_in(made.id, tenant, [EVERYONE])
    return made if body.active else accounts.users.suspend(made.id, tenant)


def changed(
    accounts: Accounts, user_id: str, tenant: str, fields: dict[str, str], active: bool | None
) -> User:
    """A user with these fields, suspended or not. Raises NotFound."""
    made = accounts.users.change(user_id, tenant, **fields)
    if active is not None and active is made.suspended:
        return (accounts.users.resume if active else accounts.users.suspend)(user_id, tenant)
    return made


def expelled(accounts: Accounts, user_id: str, tenant: str) -> None:
    """Suspend a user and take him out of every group. Raises NotFound."""
    accounts.users.suspend(user_id, tenant)
    for each in accounts.groups.all(tenant):
        if any(member.id == user_id for member in each.members):
            accounts.groups.change(each.id, tenant, remove=[user_id])
