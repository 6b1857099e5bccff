"""What a worker has read enters the catalog: its bytes, the documents in it, a version with its chunks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from rag.store.database import Database
from rag.store.plan import Listed
from rag.store.queue import Claim, held, replace_parts
from rag.store.tables import documents
from rag.store.versions import Cut, Description, add_version
from rag.types import DocumentState


class Intake:
    """Takes documents in, each in one transaction; the next one publishes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self,
        claim: Claim,
        sha256: str,
        about: Description,
        cut: Cut,
        *,
        worker: str,
        generation: int = 1,
        parts: Sequence[Listed] = (),
        recipe: str = "",
    ) -> int | None:
        """The number of a version with its chunks; from now on the document is embedded.

        `parts`: the documents in it, which wait to be read by `recipe`. None, and nothing changes, when the
        claim of the worker was taken away.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                update(documents)
                .where(*held(claim, worker))
                .values(sha256=sha256, state=DocumentState.EMBEDDING)
                .returning(documents)
            ).first()
            if row is None:
                return None
            # In the same transaction: once the container is published nobody looks for its parts any more.
            replace_parts(connection, claim, parts, recipe)
            return add_version(connection, row, about, claim.rights, generation=generation, cut=cut)

    def take_again(self, claim: Claim, about: Description, cut: Cut, *, generation: int) -> int | None:
        """The same for a generation that is built beside the live one; None when the document is gone."""
        with self._database.writing() as connection:
            query = select(documents).where(documents.c.id == claim.document_id)
            row = connection.execute(query).first()
            if row is None:
                return None
            return add_version(connection, row, about, claim.rights, generation=generation, cut=cut)
