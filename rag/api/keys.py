"""Keys over HTTP: made, with the secret shown this once, listed, revoked."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rag.accounts.accounts import Accounts
from rag.accounts.keys import Key, Limits
from rag.accounts.names import plain
from rag.accounts.roles import RIGHTS, Role, check_grant
from rag.api.state import Admin
from rag.errors import BadRequest, Forbidden
from rag.types import Principal, Right

router = APIRouter(prefix="/v1/keys")


def accounts_of(request: Request) -> Accounts:
    """The accounts of the home that is served."""
    accounts: Accounts = request.app.state.accounts
    return accounts


# Visible characters only: what is stored must mean the same wherever it is compared.
Name = Annotated[str, AfterValidator(lambda each: plain(each, "key, group or collection"))]
Ours = Annotated[Accounts, Depends(accounts_of)]


class KeyRequest(BaseModel):
    """POST /v1/keys. `user` is made if need be, with `role` and in `groups`.

    For a user who is there already `groups` are all that the key may read. `rights` and `collections` limit
    it further; without `expires_in_s` (seconds) it works until it is revoked.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "reporting", "user": "reporter", "role": "reader", "groups": ["finance"]}]
        },
    )

    name: Name
    user: str = Field(default="", max_length=200, description="empty: the caller")
    role: Role | None = None
    groups: list[Name] | None = Field(default=None, max_length=1000)
    rights: list[Right] | None = None
    collections: list[Name] | None = Field(default=None, max_length=1000)
    expires_in_s: float | None = Field(default=None, gt=0, le=1e10, strict=True)
    tenant: str = Field(default="", max_length=200, description="for the owner of the home; else your own")


class KeyReply(BaseModel):
    """A new key. `key` is what its holder shows; it is kept nowhere and cannot be shown again."""

    object: Literal["key"] = "key"
    key: str
    about: Key


class KeysReply(BaseModel):
    """Every key of the tenant, revoked ones too, oldest first."""

    object: Literal["list"] = "list"
    keys: list[Key]


@router.post("", status_code=201)
async def create(body: KeyRequest, request: Request, accounts: Ours, caller: Admin) -> KeyReply:
    """A new key. Nobody can give a key more rights than he has."""
    key, shown = await asyncio.to_thread(issue, body, accounts, caller)
    request.state.object = key.id
    return KeyReply(key=shown, about=key)


@router.get("")
async def keys(accounts: Ours, caller: Admin) -> KeysReply:
    """What is known of the keys; no secret is among it."""
    return KeysReply(keys=await asyncio.to_thread(accounts.keys.all, caller.tenant))


@router.delete("/{key_id}")
async def revoke(key_id: str, accounts: Ours, caller: Admin) -> Key:
    """Refuse a key from the next request on."""
    return await asyncio.to_thread(accounts.keys.revoke, key_id, caller.tenant)


def issue(body: KeyRequest, accounts: Accounts, caller: Principal) -> tuple[Key, str]:
    """The key that is asked for, if the caller may. Raises Forbidden, BadRequest, AlreadyExists."""
    tenant = tenant_for(body, caller)
    user = body.user or caller.user
    if not user:
        raise BadRequest("say whose key it is: `user`")
    known = accounts.users.named(user, tenant)
    role = known.role if known else body.role or Role.READER
    rights = RIGHTS[role] if body.rights is None else RIGHTS[role] & frozenset(body.rights)
    check_grant(caller, rights)
    own = accounts.keys.get(caller.key)
    limits = Limits(
        rights=None if body.rights is None else rights,
        groups=body.groups if known or (own and own.groups is not None) else None,
        collections=body.collections,
        expires_at=None if body.expires_in_s is None else time.time() + body.expires_in_s,
    )
    if own:
        check_within(limits, own)
    groups = tuple(body.groups or ())
    return accounts.issue(user, tenant, body.name, role=body.role, groups=groups, limits=limits)


def check_within(limits: Limits, own: Key) -> None:
    """A key goes no further than the one that makes it, and no longer. Raises Forbidden."""
    for what in ("groups", "collections"):
        most, asked = getattr(own, what), getattr(limits, what)
        if most is not None and not (asked and set(asked) <= set(most)):
            raise Forbidden(f"your key is for some {what} only: name some of those in `{what}`")
    if own.expires_at is not None and (limits.expires_at is None or limits.expires_at > own.expires_at):
        left_s = max(1, int(own.expires_at - time.time()))
        raise Forbidden(f"your key ends in {left_s} s: let the new one end before (`expires_in_s`)")


def tenant_for(body: KeyRequest, caller: Principal) -> str:
    """The tenant of a new key. Raises Forbidden for another one than the caller's own."""
    is_owner = not (caller.user or caller.key)
    if body.tenant and body.tenant != caller.tenant and not is_owner:
        raise Forbidden("keys of other tenants are made by the owner of the home: rag keys create --tenant")
    return body.tenant or caller.tenant
