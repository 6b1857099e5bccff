"""SCIM 2.0 (RFC 7643, 7644) as far as identity providers use it: its JSON, its filter, its patches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import JSONResponse

from rag.accounts.groups import Group
from rag.accounts.users import User
from rag.errors import BadRequest

CORE = "urn:ietf:params:scim:schemas:core:2.0"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
FILTER = re.compile(r'\s*(userName|displayName|externalId|id)\s+eq\s+"((?:[^"\\]|\\.)*)"\s*', re.IGNORECASE)
ONE_MEMBER = re.compile(r'members\[\s*value\s+eq\s+"([^"]*)"\s*\]', re.IGNORECASE)


class ScimResponse(JSONResponse):
    """JSON under the name that SCIM has for it."""

    media_type = "application/scim+json"


class Incoming(BaseModel):
    """What a provider sends; the many fields that mean nothing here are let through."""

    model_config = ConfigDict(extra="ignore")


class Reference(Incoming):
    """A user as a member."""

    value: str = Field(max_length=200)


class UserBody(Incoming):
    """A user as a provider describes him."""

    userName: str = Field(min_length=1, max_length=200)
    externalId: str | None = Field(default=None, max_length=200)
    active: StrictBool = True


class GroupBody(Incoming):
    """A group as a provider describes it."""

    displayName: str = Field(min_length=1, max_length=200)
    externalId: str | None = Field(default=None, max_length=200)
    members: list[Reference] = []


class Operation(Incoming):
    """One change."""

    op: str
    path: str | None = None
    value: Any = None


class Patch(Incoming):
    """Changes in their order."""

    Operations: list[Operation] = Field(min_length=1)


@dataclass(slots=True)
class GroupChange:
    """What a patch asks of a group, as `Groups.change` takes it."""

    name: str | None = None
    external_id: str | None = None
    add: set[str] = field(default_factory=set)
    remove: set[str] = field(default_factory=set)
    only: set[str] | None = None

    def admit(self, ids: set[str]) -> None:
        if self.only is not None:
            self.only |= ids
        self.add |= ids
        self.remove -= ids

    def expel(self, ids: set[str]) -> None:
        if self.only is not None:
            self.only -= ids
        self.add -= ids
        self.remove |= ids


def group_change(patch: Patch) -> GroupChange:
    """A patch of a group. Raises BadRequest for an operation that is none."""
    change = GroupChange()
    for each in patch.Operations:
        op, path = verb(each), each.path or ""
        if one := ONE_MEMBER.fullmatch(path):
            change.expel({one[1]}) if op == "remove" else change.admit({one[1]})
            continue
        values = {path: each.value} if path else each.value
        if not isinstance(values, dict):
            raise BadRequest("an operation without a path needs an object as its value")
        if "members" in values:
            change_members(change, op, values["members"])
        change.name = text(values, "displayName", change.name)
        change.external_id = text(values, "externalId", change.external_id)
    return change


def change_members(change: GroupChange, op: str, value: Any) -> None:
    """Members that come, go, or are all that stay. To remove without saying whom removes all."""
    ids = references(value)
    if op == "add":
        change.admit(ids)
    elif op == "remove" and value is not None:
        change.expel(ids)
    else:
        change.only = ids if op == "replace" else set()
        change.add, change.remove = set(), set()


def user_change(patch: Patch) -> tuple[dict[str, str], bool | None]:
    """The fields that a patch sets for a user, and whether he is active then; None: it does not say."""
    fields: dict[str, str] = {}
    active = None
    for each in patch.Operations:
        verb(each)
        values = {each.path: each.value} if each.path else each.value
        if not isinstance(values, dict):
            raise BadRequest("an operation without a path needs an object as its value")
        if "active" in values:
            active = truth(values["active"])
        for theirs, ours in (("userName", "name"), ("externalId", "external_id")):
            if (found := text(values, theirs, None)) is not None:
                fields[ours] = found
    return fields, active


def verb(operation: Operation) -> str:
    """What an operation does. Raises BadRequest."""
    found = operation.op.lower()
    if found not in ("add", "remove", "replace"):
        raise BadRequest(f"no operation {operation.op[:50]!r}; have add, remove, replace")
    return found


def text(values: dict[Any, Any], name: str, usual: str | None) -> str | None:
    """A value that must be words. Raises BadRequest."""
    if name not in values:
        return usual
    if not isinstance(values[name], str):
        raise BadRequest(f"{name} must be a string")
    return str(values[name])


def truth(value: Any) -> bool:
    """A yes or no, which some providers send as words. Raises BadRequest."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise BadRequest("active must be true or false")


def references(value: Any) -> set[str]:
    """The ids in a list of members. Raises BadRequest."""
    listed = [value] if isinstance(value, dict) else value or []
    if not isinstance(listed, list):
        raise BadRequest("members must be a list of objects with a value")
    if not all(isinstance(each, dict) and isinstance(each.get("value"), str) for each in listed):
        raise BadRequest("members must be a list of objects with a value")
    return {each["value"] for each in listed}


def matching(filter: str | None) -> tuple[str, str] | None:
    """The field, in lower case, and the value of a filter; None: no filter. Raises BadRequest."""
    if not filter:
        return None
    found = FILTER.fullmatch(filter)
    if found is None:
        raise BadRequest('only filters such as userName eq "ann" are understood here')
    return found[1].lower(), re.sub(r"\\(.)", r"\1", found[2])


def page(resources: Sequence[dict[str, Any]], start: int, count: int) -> dict[str, Any]:
    """Some of the resources, from `start` (the first is 1) on."""
    start = max(1, start)
    some = resources[start - 1 : start - 1 + max(0, count)]
    return {
        "schemas": [LIST],
        "totalResults": len(resources),
        "startIndex": start,
        "itemsPerPage": len(some),
        "Resources": list(some),
    }


def user_part(user: User) -> dict[str, Any]:
    """A user as SCIM describes him."""
    return {
        "schemas": [f"{CORE}:User"],
        "id": user.id,
        "userName": user.name,
        "externalId": user.external_id,
        "active": not user.suspended,
        "meta": {"resourceType": "User", "location": f"/scim/v2/Users/{user.id}"},
    }


def group_part(group: Group, *, members: bool = True) -> dict[str, Any]:
    """A group as SCIM describes it."""
    part: dict[str, Any] = {
        "schemas": [f"{CORE}:Group"],
        "id": group.id,
        "displayName": group.name,
        "externalId": group.external_id,
        "meta": {"resourceType": "Group", "location": f"/scim/v2/Groups/{group.id}"},
    }
    if members:
        part["members"] = [{"value": each.id, "display": each.name} for each in group.members]
    return part
