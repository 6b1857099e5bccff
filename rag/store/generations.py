"""Generations of the index: one answers, one may be built beside it, one is kept to go back to.

A generation has an index of its own and a version of every document. Going live, or back, is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, insert, select, update

from rag.errors import BadRequest, SettingsError
from rag.store.database import Database
from rag.store.tables import documents, generations, versions
from rag.store.versions import COMPLETE, VersionStatus, retire_where
from rag.types import DocumentState

Recipe = Mapping[str, Any]
# What a generation was made with whose recipe is older than the setting.
UNNAMED: Recipe = {"late_interaction": ""}


class GenerationState(StrEnum):
    """What a generation is for."""

    BUILDING = "building"
    LIVE = "live"
    KEPT = "kept"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Generation:
    """One index. `recipe`: the settings that made it, by name; empty: not known."""

    number: int
    state: GenerationState
    recipe: Recipe
    created_at: float = 0.0
    live_at: float | None = None


class Generations:
    """Which generation answers, and how another takes its place. Each method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Generation]:
        """Every generation that is not dropped, oldest first."""
        query = select(generations).where(generations.c.state != GenerationState.DROPPED)
        with self._database.reading() as connection:
            return [generation_of(row) for row in connection.execute(query)]

    def live_chunks(self) -> int:
        """How many chunks of live versions there are; the live index must hold as many points."""
        query = select(func.sum(versions.c.chunks)).where(versions.c.status == VersionStatus.LIVE)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar() or 0)

    def dropped(self) -> list[Generation]:
        """Those that were given up; their index may still be there."""
        with self._database.reading() as connection:
            rows = connection.execute(in_state(GenerationState.DROPPED)).all()
        return [generation_of(row) for row in rows]

    def live(self, recipe: Recipe) -> Generation:
        """The one that answers. The first gets this recipe, and so does one whose recipe is not known."""
        if (found := self._in(GenerationState.LIVE)) and found.recipe:
            return found
        with self._database.writing() as connection:
            row = connection.execute(in_state(GenerationState.LIVE)).first()
            if row is None:
                values = {"state": GenerationState.LIVE, "recipe": dict(recipe), "live_at": time.time()}
                connection.execute(insert(generations).values(**values, created_at=time.time()))
            elif not row.recipe:
                connection.execute(
                    update(generations)
                    .where(generations.c.generation == row.generation)
                    .values(recipe=dict(recipe), live_at=time.time())
                )
            return generation_of(connection.execute(in_state(GenerationState.LIVE)).one())

    def building(self) -> Generation | None:
        """The one that is being built."""
        return self._in(GenerationState.BUILDING)

    def kept(self) -> Generation | None:
        """The one to go back to."""
        return self._in(GenerationState.KEPT)

    def build(self, recipe: Recipe) -> Generation:
        """Start a generation, or go on with the one that is being built with this recipe.

        Raises BadRequest when one with another recipe is being built.
        """
        with self._database.writing() as connection:
            row = connection.execute(in_state(GenerationState.BUILDING)).first()
            if row and differences(row.recipe, recipe):
                raise BadRequest(
                    f"generation {row.generation} is being built with other settings "
                    f"({'; '.join(differences(row.recipe, recipe))}); set them back and finish it, "
                    f"or `rag reindex --drop {row.generation}`"
                )
            if row is None:
                values = {"state": GenerationState.BUILDING, "recipe": dict(recipe)}
                connection.execute(insert(generations).values(**values, created_at=time.time()))
                row = connection.execute(in_state(GenerationState.BUILDING)).one()
            return generation_of(row)

    def outstanding(self, number: int) -> list[str]:
        """Ids of the live documents that this generation has no version of yet."""
        with self._database.reading() as connection:
            return list(connection.execute(missing_from(number)).scalars())

    def go_live(self, number: int, without: Mapping[str, str]) -> int:
        """Let a built generation answer; the one before is kept, one kept earlier is dropped.

        `without`: documents that cannot be had in it, by id, with the reason; they are quarantined. Returns
        how many others still lack a version in it: then nothing changed.
        """
        with self._database.writing() as connection:
            missing = set(connection.execute(missing_from(number)).scalars())
            if missing - without.keys():
                return len(missing - without.keys())
            for row in connection.execute(in_state(GenerationState.KEPT)).all():
                drop(connection, row.generation)
            swap(connection, number, VersionStatus.BUILT)
            for document_id in missing:
                set_aside = {"state": DocumentState.QUARANTINED, "reason": without[document_id]}
                connection.execute(update(documents).where(documents.c.id == document_id).values(set_aside))
            return 0

    def go_back(self) -> tuple[Generation, int]:
        """Let the kept generation answer again; what answered is kept now.

        Returns it and how many documents it lacks: they wait to be indexed. Raises BadRequest without one.
        """
        with self._database.writing() as connection:
            row = connection.execute(in_state(GenerationState.KEPT)).first()
            if row is None:
                raise BadRequest("no earlier generation is kept; `rag reindex` builds a new one")
            swap(connection, row.generation, VersionStatus.KEPT)
            lacking = update(documents).where(
                documents.c.live_version.is_(None), documents.c.state == DocumentState.LIVE
            )
            waiting = connection.execute(lacking.values(state=DocumentState.PENDING, attempts=0, job=None))
            return generation_of(row), int(waiting.rowcount)

    def drop(self, number: int) -> None:
        """Give up a generation that does not answer. Raises BadRequest for any other number."""
        with self._database.writing() as connection:
            query = select(generations.c.state).where(generations.c.generation == number)
            state = connection.execute(query).scalar()
            if state in (None, GenerationState.DROPPED, GenerationState.LIVE):
                problem = "is the one that answers" if state == GenerationState.LIVE else "does not exist"
                raise BadRequest(f"generation {number} {problem}; rag reindex --list shows them all")
            drop(connection, number)

    def _in(self, state: GenerationState) -> Generation | None:
        with self._database.reading() as connection:
            row = connection.execute(in_state(state)).first()
        return generation_of(row) if row else None


def check(generation: Generation, wanted: Recipe) -> None:
    """Raises SettingsError when documents would be indexed otherwise than the live generation was."""
    if different := differences(generation.recipe, wanted):
        raise SettingsError(
            f"generation {generation.number} of the index was made with other settings "
            f"({'; '.join(different)}): `rag reindex` builds a new one beside it, or set them back"
        )


def differences(made: Recipe, wanted: Recipe) -> list[str]:
    """What differs between two recipes, in words; what one of them does not name is not compared."""
    made = {**UNNAMED, **made}
    return [
        f"{name} {made[name]!r}, now {wanted[name]!r}"
        for name in sorted(made.keys() & wanted.keys())
        if made[name] != wanted[name]
    ]


def in_state(state: GenerationState) -> Select[Any]:
    return select(generations).where(generations.c.state == state)


def missing_from(number: int) -> Select[Any]:
    """Documents that answer and have no complete version in a generation."""
    has_one = exists().where(
        versions.c.document_id == documents.c.id,
        versions.c.generation == number,
        versions.c.status.in_(COMPLETE),
    )
    return select(documents.c.id).where(documents.c.live_version.is_not(None), ~has_one)


def swap(connection: Connection, number: int, status: VersionStatus) -> None:
    """Make the versions of a generation the live ones and keep those that were."""
    connection.execute(
        update(versions).where(versions.c.status == VersionStatus.LIVE).values(status=VersionStatus.KEPT)
    )
    connection.execute(
        update(versions)
        .where(versions.c.generation == number, versions.c.status == status)
        .values(status=VersionStatus.LIVE)
    )
    of_document = select(versions.c.version).where(
        versions.c.document_id == documents.c.id, versions.c.status == VersionStatus.LIVE
    )
    connection.execute(
        update(documents)
        .where(documents.c.live_version.is_not(None))
        .values(live_version=of_document.scalar_subquery())
    )
    was_live = generations.c.state == GenerationState.LIVE
    connection.execute(update(generations).where(was_live).values(state=GenerationState.KEPT))
    connection.execute(
        update(generations)
        .where(generations.c.generation == number)
        .values(state=GenerationState.LIVE, live_at=time.time())
    )


def drop(connection: Connection, number: int) -> None:
    """Retire all versions of a generation."""
    retire_where(connection, versions.c.generation == number)
    connection.execute(
        update(generations).where(generations.c.generation == number).values(state=GenerationState.DROPPED)
    )


def generation_of(row: Row[Any]) -> Generation:
    return Generation(row.generation, GenerationState(row.state), row.recipe, row.created_at, row.live_at)
