"""Groups of users: what documents are shared with. A change acts on the next request of every member."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from rag.accounts.names import new_id, plain
from rag.accounts.tables import groups, members, users
from rag.cost.budget import Scope
from rag.cost.renaming import follow
from rag.errors import AlreadyExists, NotFound
from rag.store.database import Database


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a group."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a tenant; its name is unique there and is what documents name."""

    id: str
    tenant: str
    name: str
    members: tuple[Member, ...]
    external_id: str = ""


class Groups:
    """The groups of a home. Every method is one short transaction; safe to use from many threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def create(
        self, name: str, tenant: str, *, user_ids: Collection[str] = (), external_id: str = ""
    ) -> Group:
        """A new group. Raises AlreadyExists, NotFound for a member that there is not."""
        name, tenant = plain(name, "group"), plain(tenant, "tenant")
        external_id = external_id and plain(external_id, "group")
        with self._database.writing() as connection:
            if find(connection, groups.c.tenant == tenant, groups.c.name == name):
                raise AlreadyExists(f"there is a group {name!r} already")
            group_id = make(connection, name, tenant, self._clock(), external_id)
            join(connection, group_id, tenant, user_ids)
            return one(connection, group_id, tenant)

    def named(self, name: str, tenant: str) -> Group | None:
        """The group of that name, if there is one."""
        with self._database.reading() as connection:
            found = find(connection, groups.c.tenant == tenant, groups.c.name == plain(name, "group"))
        return found[0] if found else None

    def get(self, group_id: str, tenant: str) -> Group:
        """One group. Raises NotFound, also for one of another tenant."""
        with self._database.reading() as connection:
            return one(connection, group_id, tenant)

    def all(self, tenant: str | None = None) -> list[Group]:
        """Every group with its members, by tenant and name."""
        with self._database.reading() as connection:
            return find(connection, *([groups.c.tenant == tenant] if tenant is not None else []))

    def change(
        self,
        group_id: str,
        tenant: str,
        *,
        name: str | None = None,
        external_id: str | None = None,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Group:
        """Rename a group, `add` and `remove` members, or leave `only` these; all of it or nothing.

        Raises NotFound for a group or a new member that there is not, AlreadyExists for a name that is taken.
        """
        with self._database.writing() as connection:
            found = one(connection, group_id, tenant)
            if name is not None and name != found.name:
                rename(connection, found, plain(name, "group"))
            if external_id is not None:
                external_id = external_id and plain(external_id, "group")
                connection.execute(
                    update(groups).where(groups.c.id == group_id).values(external_id=external_id)
                )
            if only is not None:
                remove = [each.id for each in found.members if each.id not in set(only)]
                add = only
            leave(connection, group_id, remove)
            join(connection, group_id, tenant, add)
            return one(connection, group_id, tenant)

    def put_in(self, user_id: str, tenant: str, names: Collection[str]) -> None:
        """Make a user a member of groups by name; those that are not there yet are made."""
        with self._database.writing() as connection:
            for name in sorted({plain(each, "group") for each in names}):
                found = find(connection, groups.c.tenant == tenant, groups.c.name == name)
                group_id = found[0].id if found else make(connection, name, tenant, self._clock())
                join(connection, group_id, tenant, [user_id])

    def delete(self, group_id: str, tenant: str) -> Group:
        """Remove a group; documents that only it may read are read by nobody then. Raises NotFound."""
        with self._database.writing() as connection:
            found = one(connection, group_id, tenant)
            connection.execute(delete(groups).where(groups.c.id == group_id))
            return found


def make(connection: Connection, name: str, tenant: str, now: float, external_id: str = "") -> str:
    """Enter a group; its id."""
    group_id = new_id("group")
    values = {"id": group_id, "tenant": tenant, "name": name, "external_id": external_id, "created_at": now}
    connection.execute(insert(groups).values(values))
    return group_id


def rename(connection: Connection, group: Group, name: str) -> None:
    """Give a group another name. Raises AlreadyExists."""
    if find(connection, groups.c.tenant == group.tenant, groups.c.name == name):
        raise AlreadyExists(f"there is a group {name!r} already")
    connection.execute(update(groups).where(groups.c.id == group.id).values(name=name))
    follow(connection, Scope.GROUP, group.tenant, group.name, name)


def join(connection: Connection, group_id: str, tenant: str, user_ids: Collection[str]) -> None:
    """Add members that are not in yet. Raises NotFound for one that is no user of the tenant."""
    inside = set(
        connection.execute(select(members.c.user_id).where(members.c.group_id == group_id)).scalars()
    )
    for user_id in dict.fromkeys(user_ids):
        known = select(users.c.id).where(users.c.id == user_id, users.c.tenant == tenant)
        if connection.execute(known).first() is None:
            raise NotFound(f"no user {user_id[:100]!r}")
        if user_id not in inside:
            connection.execute(insert(members).values(group_id=group_id, user_id=user_id))


def leave(connection: Connection, group_id: str, user_ids: Collection[str]) -> None:
    """Take members out; whoever is not in stays out."""
    for user_id in user_ids:
        connection.execute(
            delete(members).where(members.c.group_id == group_id, members.c.user_id == user_id)
        )


def one(connection: Connection, group_id: str, tenant: str) -> Group:
    """The group of an id. Raises NotFound."""
    found = find(connection, groups.c.id == group_id, groups.c.tenant == tenant)
    if not found:
        raise NotFound("no such group")
    return found[0]


def find(connection: Connection, *conditions: ColumnElement[bool]) -> list[Group]:
    """Groups with their members, by tenant and name."""
    query = select(groups).where(*conditions).order_by(groups.c.tenant, groups.c.name)
    rows = connection.execute(query).all()
    within: dict[str, list[Member]] = {row.id: [] for row in rows}
    who = (
        select(members.c.group_id, users.c.id, users.c.name)
        .join(users, users.c.id == members.c.user_id)
        .join(groups, groups.c.id == members.c.group_id)
        .where(*conditions)
        .order_by(users.c.name)
    )
    for group_id, user_id, name in connection.execute(who):
        within[group_id].append(Member(user_id, name))
    return [Group(row.id, row.tenant, row.name, tuple(within[row.id]), row.external_id) for row in rows]
