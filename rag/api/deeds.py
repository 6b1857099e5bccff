"""Which requests the audit log tells of: what changes something, what takes data out, what was refused."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from rag.accounts.audit import Result
from rag.api.journal import sent_id

# What belongs to one person alone, such as conversations, and questions themselves are not among them.
AREAS = ("documents", "jobs", "keys", "budgets", "tenants", "Users", "Groups")
SHARED = (("conversations", "share"),)
VERBS = {"POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}
EXPORTS = ("audit", "ledger")
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Told:
    """What a row of the audit log says of a request."""

    action: str
    object: str
    outcome: Result


def told(scope: Scope, status: int) -> Told | None:
    """What the audit log says of a request that ended so; None: nothing."""
    parts = scope["path"].strip("/").split("/")
    if parts[0] in ("v1", "scim"):
        parts = parts[2 if parts[0] == "scim" else 1 :]
    area, object, verb = (*parts, "", "", "")[:3]
    if status in (401, 403):
        return Told(shown(f"{scope['method']} {area}"), shown(scope["path"]), Result.REFUSED)
    outcome = Result.DONE if status < 400 else Result.FAILED
    if 400 <= status < 500:
        return None
    # A route that makes something says what, for its id is not in the path.
    object = scope.get("state", {}).get("object") or shown(object)
    if (area in AREAS or (area, verb) in SHARED) and scope["method"] in VERBS:
        done = VERBS[scope["method"]]
        if verb.isalpha():  # a verb of the API's own, as /v1/jobs/ID/cancel
            done = verb if scope["method"] == "POST" else f"{verb}.{done}"
        return Told(f"{area.lower()}.{done}", object, outcome)
    if area in EXPORTS or (area, verb) == ("documents", "content"):
        return Told(f"{area}.read", object, outcome)
    return None


def shown(path: str) -> str:
    """A path in visible characters, not too long."""
    return "".join(each if each.isprintable() else "?" for each in path[:LONGEST])


def request_id(scope: Scope) -> str:
    """What the journal calls this request, else what its sender does."""
    return str(scope.get("state", {}).get("request_id") or sent_id(scope))
