"""Users: who there is in a tenant, with which role, and whether they are let in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from rag.accounts.names import new_id, plain
from rag.accounts.roles import Role
from rag.accounts.tables import groups, members, sessions, users
from rag.conversations.tables import conversations
from rag.cost.budget import Scope
from rag.cost.ledger import Ledger
from rag.cost.renaming import follow, rename
from rag.errors import AlreadyExists, NotFound
from rag.store.database import Database
from rag.store.tables import documents, jobs


class SignIn(StrEnum):
    """How somebody proves who he is."""

    KEY = "key"  # a service, or a person with a key of ours
    OIDC = "oidc"  # a provider vouches; keys of ours work too


@dataclass(frozen=True, slots=True)
class User:
    """Somebody in a tenant. `name` is unique there; `external_id` is what SCIM calls him."""

    id: str
    tenant: str
    name: str
    role: Role
    sign_in: SignIn
    suspended: bool
    external_id: str = ""


class Users:
    """The users of a home. Every method is one short transaction; safe to use from many threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def create(
        self,
        name: str,
        tenant: str,
        *,
        role: Role = Role.READER,
        sign_in: SignIn = SignIn.KEY,
        external_id: str = "",
    ) -> User:
        """A new user. Raises AlreadyExists, BadRequest for a name that cannot be one."""
        name, tenant = plain(name, "user"), plain(tenant, "tenant")
        external_id = external_id and plain(external_id, "user")
        with self._database.writing() as connection:
            if connection.execute(select(users.c.id).where(*is_named(name, tenant))).first():
                raise AlreadyExists(f"there is a user {name!r} already")
            values = {
                "id": new_id("user"),
                "tenant": tenant,
                "name": name,
                "role": role,
                "sign_in": sign_in,
                "external_id": external_id,
                "created_at": self._clock(),
            }
            connection.execute(insert(users).values(values))
            return one(connection, *is_named(name, tenant))

    def named(self, name: str, tenant: str) -> User | None:
        """The user of that name, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(select(users).where(*is_named(plain(name, "user"), tenant))).first()
        return user_of(row) if row else None

    def get(self, user_id: str, tenant: str) -> User:
        """One user. Raises NotFound, also for one of another tenant."""
        with self._database.reading() as connection:
            return one(connection, users.c.id == user_id, users.c.tenant == tenant)

    def all(self, tenant: str | None = None) -> list[User]:
        """Everybody, by tenant and name."""
        query = select(users).order_by(users.c.tenant, users.c.name)
        if tenant is not None:
            query = query.where(users.c.tenant == tenant)
        with self._database.reading() as connection:
            return [user_of(row) for row in connection.execute(query)]

    def groups(self, user_id: str, others: Collection[str] = ()) -> tuple[str, ...]:
        """Names of the groups that a user is in now, and of others that somebody vouches for."""
        with self._database.reading() as connection:
            return tuple(sorted({*groups_of(connection, user_id), *others}))

    def change(self, user_id: str, tenant: str, **values: str) -> User:
        """Set `name`, `role` or `external_id`; what is his stays his. Raises NotFound, AlreadyExists."""
        with self._database.writing() as connection:
            found = one(connection, users.c.id == user_id, users.c.tenant == tenant)
            if "name" in values:
                values["name"] = plain(values["name"], "user")
                taken = select(users.c.id).where(*is_named(values["name"], tenant), users.c.id != user_id)
                if connection.execute(taken).first():
                    raise AlreadyExists(f"there is a user {values['name']!r} already")
                if values["name"] != found.name:
                    hand_on(connection, found, values["name"])
                    home = self._database.path.parent
                    books = Ledger(self._database, home, clock=self._clock, within=connection)
                    rename(connection, books, tenant, found.name, values["name"])
            if values.get("external_id"):
                values["external_id"] = plain(values["external_id"], "user")
            if values:
                connection.execute(update(users).where(users.c.id == found.id).values(values))
            return one(connection, users.c.id == user_id)

    def suspend(self, user_id: str, tenant: str) -> User:
        """Refuse this user from the next request on, whatever he shows. His sessions end for good."""
        with self._database.writing() as connection:
            found = one(connection, users.c.id == user_id, users.c.tenant == tenant)
            if not found.suspended:
                connection.execute(
                    update(users).where(users.c.id == user_id).values(suspended_at=self._clock())
                )
            connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            return one(connection, users.c.id == user_id)

    def resume(self, user_id: str, tenant: str) -> User:
        """Let a suspended user in again; his keys work as before."""
        with self._database.writing() as connection:
            one(connection, users.c.id == user_id, users.c.tenant == tenant)
            connection.execute(update(users).where(users.c.id == user_id).values(suspended_at=None))
            return one(connection, users.c.id == user_id)


def is_named(name: str, tenant: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return users.c.tenant == tenant, users.c.name == name


def one(connection: Connection, *conditions: ColumnElement[bool]) -> User:
    """The user of these conditions. Raises NotFound."""
    row = connection.execute(select(users).where(*conditions)).first()
    if row is None:
        raise NotFound("no such user")
    return user_of(row)


def hand_on(connection: Connection, user: User, name: str) -> None:
    """Let what is kept under a user's name follow him to another one: who gets the old name must not find it.

    The audit log and the rows of the ledger are left as they are: they tell what was.
    """
    theirs = (conversations.c.tenant == user.tenant, conversations.c.owner == f"user:{user.name}")
    connection.execute(update(conversations).where(*theirs).values(owner=f"user:{name}"))
    own = (documents.c.tenant == user.tenant, documents.c.owner == user.name)
    connection.execute(update(documents).where(*own).values(owner=name))
    runs = select(jobs.c.id, jobs.c.wanted).where(
        jobs.c.tenant == user.tenant, jobs.c.wanted["user"].as_string() == user.name
    )
    for run in connection.execute(runs).all():
        wanted = {**run.wanted, "user": name}
        connection.execute(update(jobs).where(jobs.c.id == run.id).values(wanted=wanted))
    follow(connection, Scope.USER, user.tenant, user.name, name)


def user_of(row: Row[Any]) -> User:
    return User(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        role=Role(row.role),
        sign_in=SignIn(row.sign_in),
        suspended=row.suspended_at is not None,
        external_id=row.external_id,
    )


def groups_of(connection: Connection, user_id: str) -> tuple[str, ...]:
    """Names of the groups that a user is in, now."""
    query = (
        select(groups.c.name)
        .join(members, members.c.group_id == groups.c.id)
        .where(members.c.user_id == user_id)
        .order_by(groups.c.name)
    )
    return tuple(connection.execute(query).scalars())
