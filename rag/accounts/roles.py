"""Roles: sets of rights with a name."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from rag.errors import BadRequest, Forbidden
from rag.types import Principal, Right


class Role(StrEnum):
    """What somebody is in a tenant."""

    READER = "reader"
    CONTRIBUTOR = "contributor"
    CURATOR = "curator"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.READER: frozenset({Right.ASK}),
    Role.CONTRIBUTOR: frozenset({Right.ASK, Right.WRITE}),
    Role.CURATOR: frozenset({Right.ASK, Right.WRITE, Right.CURATE}),
    Role.OPERATOR: frozenset({Right.ASK, Right.WRITE, Right.OPERATE}),
    Role.AUDITOR: frozenset({Right.AUDIT}),  # who checks the books need not read the documents
    Role.ADMIN: frozenset(Right),
}


def role(name: str) -> Role:
    """The role of that name. Raises BadRequest that lists them."""
    try:
        return Role(name)
    except ValueError:
        raise BadRequest(f"no role {name[:100]!r}; have {', '.join(Role)}") from None


def rights(names: Iterable[str]) -> frozenset[Right]:
    """The rights of these names. Raises BadRequest that lists them."""
    try:
        return frozenset(map(Right, names))
    except ValueError as error:
        raise BadRequest(f"{str(error)[:100]}; have {', '.join(Right)}") from None


def rights_of(roles: Iterable[Role]) -> frozenset[Right]:
    """What somebody with all these roles may do."""
    return frozenset().union(*(RIGHTS[each] for each in roles))


def check_grant(granter: Principal, granted: frozenset[Right]) -> None:
    """Nobody hands out what he has not. Raises Forbidden that names the first such right."""
    if missing := sorted(granted - granter.rights):
        raise Forbidden(f"you cannot grant the right {missing[0].value!r}: you do not have it")
