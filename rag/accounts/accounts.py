"""Everything about who may come in, over the one database of a home."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rag.accounts.audit import Audit
from rag.accounts.groups import Groups
from rag.accounts.keys import Key, Keys, Limits
from rag.accounts.names import plain
from rag.accounts.pepper import Pepper
from rag.accounts.roles import RIGHTS, Role
from rag.accounts.sessions import Sessions
from rag.accounts.tenants import Tenants
from rag.accounts.users import User, Users
from rag.errors import AlreadyExists, BadRequest
from rag.settings import LimitsSettings
from rag.store.database import Database

EVERYONE = "everyone"


class Accounts:
    """Users, groups, keys, sessions, tenants, audit log. Holds no state: other processes may write too."""

    def __init__(
        self,
        database: Database,
        home: Path,
        limits: LimitsSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.pepper = Pepper.of(home)
        self.users = Users(database, clock=clock)
        self.groups = Groups(database, clock=clock)
        self.keys = Keys(database, self.pepper, clock=clock)
        self.sessions = Sessions(database, self.pepper, clock=clock)
        self.tenants = Tenants(database, limits or LimitsSettings())
        self.audit = Audit(database, home, self.pepper, clock=clock)

    def issue(
        self,
        user: str,
        tenant: str,
        name: str,
        *,
        role: Role | None = None,
        groups: tuple[str, ...] = (),
        limits: Limits | None = None,
    ) -> tuple[Key, str]:
        """A key for a user, who is made if need be, as `role` and in `groups`; the key and its secret.

        Raises AlreadyExists when there is the user with another role: a key does not change that;
        BadRequest when nothing is left of the rights that the key is limited to.
        """
        known = self.users.named(user, tenant)
        held = known.role if known else role or Role.READER
        if limits and limits.rights is not None and not limits.rights & RIGHTS[held]:
            raise BadRequest(
                f"the key could do nothing: {user!r} is a {held.value}, who has the rights "
                f"{', '.join(sorted(RIGHTS[held]))}"
            )
        holder = known or self._enter(user, tenant, role or Role.READER, groups)
        if role is not None:
            require_role(holder, role)
        return self.keys.create(holder.id, tenant, plain(name, "key"), limits)

    def issue_first(self, user: str, tenant: str, name: str) -> tuple[Key, str] | None:
        """The first key of the database, an administrator's; None when there is one.

        Of servers that start at the same moment one makes it. Raises AlreadyExists as `issue` does.
        """
        holder = self.users.named(user, tenant)
        if holder is None:
            try:
                holder = self._enter(user, tenant, Role.ADMIN, ())
            except AlreadyExists:
                return self.issue_first(user, tenant, name)
        require_role(holder, Role.ADMIN)
        try:
            return self.keys.create(holder.id, tenant, name, first=True)
        except AlreadyExists:
            return None

    def _enter(self, name: str, tenant: str, role: Role, groups: tuple[str, ...]) -> User:
        user = self.users.create(name, tenant, role=role)
        self.groups.put_in(user.id, tenant, groups or (EVERYONE,))
        return user


def require_role(user: User, role: Role) -> None:
    if user.role is not role:
        raise AlreadyExists(
            f"there is a user {user.name!r} with the role {user.role.value!r}; limit the key by its rights"
        )
