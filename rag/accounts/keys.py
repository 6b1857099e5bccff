"""API keys: made, shown once, looked up by their public part, revoked at once."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, or_, select, update

from rag.accounts.pepper import Pepper
from rag.accounts.roles import RIGHTS, Role
from rag.accounts.tables import keys, users
from rag.accounts.users import groups_of
from rag.errors import AlreadyExists, BadRequest, NotFound, Unauthorised
from rag.store.database import Database
from rag.types import Principal, Right

PREFIX = "rag_"
USED_EVERY_S = 60.0
WRONG = "this key is not known here; make one with rag keys create, or ask an administrator"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, without its secret. Times are seconds since 1970.

    `rights`, `groups`, `collections` are what it is limited to; None: as far as its user goes.
    """

    id: str
    name: str
    user: str
    tenant: str
    rights: tuple[Right, ...] | None
    groups: tuple[str, ...] | None
    collections: tuple[str, ...] | None
    created_at: float
    expires_at: float | None
    used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a new key may do less than its user, and until when (seconds since 1970)."""

    rights: frozenset[Right] | None = None
    groups: Collection[str] | None = None
    collections: Collection[str] | None = None
    expires_at: float | None = None


class Keys:
    """The keys of a home. Every method is one short transaction; safe to use from many threads."""

    def __init__(self, database: Database, pepper: Pepper, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._pepper, self._clock = database, pepper, clock

    def create(
        self, user_id: str, tenant: str, name: str, limits: Limits | None = None, *, first: bool = False
    ) -> tuple[Key, str]:
        """A new key and what its holder shows, which is kept nowhere.

        Raises NotFound without the user, BadRequest when it would have expired before it is used,
        AlreadyExists when it must be the `first` of the database and is not.
        """
        limits, now = limits or Limits(), self._clock()
        if limits.expires_at is not None and limits.expires_at <= now:
            raise BadRequest("the key would have expired already; choose a later time")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        shown = f"{PREFIX}{key_id}_{secret}"
        with self._database.writing() as connection:
            if first and connection.execute(ANY).first() is not None:
                raise AlreadyExists("there is a key already")
            known = select(users.c.id).where(users.c.id == user_id, users.c.tenant == tenant)
            if connection.execute(known).first() is None:
                raise NotFound("no such user")
            values = {
                "id": key_id,
                "user_id": user_id,
                "name": name,
                "digest": self._digest(shown),
                "rights": listed(limits.rights),
                "groups": listed(limits.groups),
                "collections": listed(limits.collections),
                "created_at": now,
                "expires_at": limits.expires_at,
            }
            connection.execute(insert(keys).values(values))
            row = connection.execute(KNOWN.where(keys.c.id == key_id)).one()
        return key_of(row), shown

    def holder(self, shown: str) -> Principal:
        """Who shows this key, with what he may do now. Raises Unauthorised."""
        key_id = shown.removeprefix(PREFIX).partition("_")[0]
        digest, now = self._digest(shown), self._clock()
        with self._database.reading() as connection:
            row = connection.execute(KNOWN.where(keys.c.id == key_id)).first()
            # An unknown key takes as long as a wrong one: both are compared, and both get the same words.
            right = hmac.compare_digest(digest, row.digest if row else self._digest(""))
            held = groups_of(connection, row.user_id if row else "")
        if row is None or not right:
            raise Unauthorised(WRONG)
        for ended, why in (
            (row.revoked_at is not None, "was revoked"),
            (row.expires_at is not None and row.expires_at <= now, "has expired"),
            (row.suspended_at is not None, "belongs to a user who is suspended"),
        ):
            if ended:
                raise Unauthorised(f"this key {why}; ask an administrator")
        return principal_of(row, held)

    def used(self, key_id: str) -> None:
        """Note that a key is in use; written at most once a minute."""
        now = self._clock()
        stale = or_(keys.c.used_at.is_(None), keys.c.used_at < now - USED_EVERY_S)
        with self._database.writing() as connection:
            connection.execute(update(keys).where(keys.c.id == key_id, stale).values(used_at=now))

    def revoke(self, key_id: str, tenant: str | None = None) -> Key:
        """Refuse a key from the next request on. Raises NotFound, also for one of another tenant."""
        with self._database.writing() as connection:
            query = KNOWN.where(keys.c.id == key_id)
            if tenant is not None:
                query = query.where(users.c.tenant == tenant)
            row = connection.execute(query).first()
            if row is None:
                raise NotFound(f"no key {key_id[:100]!r}")
            if row.revoked_at is None:
                connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=self._clock()))
            return key_of(connection.execute(KNOWN.where(keys.c.id == key_id)).one())

    def all(self, tenant: str | None = None) -> list[Key]:
        """Every key that was ever made, oldest first."""
        query = KNOWN.order_by(keys.c.created_at, keys.c.id)
        if tenant is not None:
            query = query.where(users.c.tenant == tenant)
        with self._database.reading() as connection:
            return [key_of(row) for row in connection.execute(query)]

    def get(self, key_id: str) -> Key | None:
        """The key of an id; None: that is the id of a session, or of nothing."""
        with self._database.reading() as connection:
            row = connection.execute(KNOWN.where(keys.c.id == key_id)).first()
        return key_of(row) if row else None

    def any(self) -> bool:
        """Whether a key was ever made: from then on nobody is served without one, revoked or not."""
        with self._database.reading() as connection:
            return connection.execute(ANY).first() is not None

    def _digest(self, shown: str) -> str:
        return self._pepper.digest("key", shown.encode())


ANY = select(keys.c.id).limit(1)
KNOWN = select(keys, users.c.name.label("user"), users.c.tenant, users.c.role, users.c.suspended_at).join(
    users, users.c.id == keys.c.user_id
)


def listed(values: Collection[str] | None) -> list[str] | None:
    return None if values is None else sorted(set(values))


def principal_of(row: Row[Any], held: tuple[str, ...]) -> Principal:
    """What the holder of a key may do: what his user may, as far as the key goes."""
    allowed = RIGHTS[Role(row.role)]
    return Principal(
        tenant=row.tenant,
        groups=held if row.groups is None else tuple(each for each in held if each in row.groups),
        user=row.user,
        key=row.id,
        rights=allowed if row.rights is None else allowed & frozenset(map(Right, row.rights)),
        collections=None if row.collections is None else tuple(row.collections),
    )


def key_of(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        user=row.user,
        tenant=row.tenant,
        rights=None if row.rights is None else tuple(map(Right, row.rights)),
        groups=None if row.groups is None else tuple(row.groups),
        collections=None if row.collections is None else tuple(row.collections),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
    )
