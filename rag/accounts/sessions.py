"""Sessions of people who signed in with the page: rows here, a random cookie there."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection

from sqlalchemy import delete, insert, select

from rag.accounts.pepper import Pepper
from rag.accounts.roles import RIGHTS, Role, rights_of
from rag.accounts.tables import sessions, users
from rag.accounts.users import User, groups_of
from rag.errors import Unauthorised
from rag.store.database import Database
from rag.types import Principal

ENDED = "your session has ended; sign in again"


class Sessions:
    """The sessions of a home. Every method is one short transaction; safe to use from many threads."""

    def __init__(self, database: Database, pepper: Pepper, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._pepper, self._clock = database, pepper, clock

    def open(
        self,
        user: User,
        *,
        lasts_s: float,
        groups: Collection[str] = (),
        roles: Collection[Role] | None = None,
    ) -> str:
        """A new session; the value of its cookie. `groups`, `roles`: what the provider said beside ours."""
        cookie, now = secrets.token_urlsafe(32), self._clock()
        values = {
            "digest": self._digest(cookie),
            "user_id": user.id,
            "groups": sorted(set(groups)),
            "roles": None if roles is None else sorted(set(roles)),
            "created_at": now,
            "expires_at": now + lasts_s,
        }
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            connection.execute(insert(sessions).values(values))
        return cookie

    def holder(self, cookie: str) -> Principal:
        """Who sends this cookie, with what he may do now. Raises Unauthorised."""
        digest = self._digest(cookie)
        query = (
            select(sessions, users.c.name, users.c.tenant, users.c.role)
            .join(users, users.c.id == sessions.c.user_id)
            .where(
                sessions.c.digest == digest,
                sessions.c.expires_at > self._clock(),
                users.c.suspended_at.is_(None),
            )
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise Unauthorised(ENDED)
            held = groups_of(connection, row.user_id)
        rights = RIGHTS[Role(row.role)] if row.roles is None else rights_of(map(Role, row.roles))
        return Principal(
            tenant=row.tenant,
            groups=tuple(sorted({*held, *row.groups})),
            user=row.name,
            key=f"session-{digest[:12]}",
            rights=rights,
        )

    def close(self, cookie: str) -> None:
        """End a session; one that there is not stays ended."""
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == self._digest(cookie)))

    def _digest(self, cookie: str) -> str:
        # Looked up by digest: a copy of the database opens no session.
        return self._pepper.digest("session", cookie.encode())
