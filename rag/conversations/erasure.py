"""Words of documents that are gone, taken out of the answers that rest on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from rag.conversations.tables import messages
from rag.store.database import VALUES_PER_STATEMENT, Database, batches
from rag.store.tables import documents

# Its notes name documents by their titles.
NOTHING: dict[str, Any] = {"citations": [], "named": []}


def forget_gone(database: Database) -> int:
    """Blank the answers whose documents were removed since; how many those were.

    They are withheld from every reader anyway. Reads all answers, some hundreds in a transaction.
    """
    count, last = 0, ""
    while rows := answers_after(database, last):
        last = rows[-1].id
        known = existing(database, {each for row in rows for each in documents_of(row.rag)})
        gone = [row.id for row in rows if not documents_of(row.rag) <= known]
        for some in batches(gone):
            with database.writing() as connection:
                connection.execute(
                    update(messages).where(messages.c.id.in_(some)).values(text="", rag=NOTHING)
                )
        count += len(gone)
    return count


def answers_after(database: Database, last: str) -> Sequence[Row[Any, Any]]:
    spoken = (messages.c.role == "assistant", messages.c.text != "", messages.c.id > last)
    query = select(messages.c.id, messages.c.rag).where(*spoken).order_by(messages.c.id)
    with database.reading() as connection:
        return connection.execute(query.limit(VALUES_PER_STATEMENT)).all()


def documents_of(rag: Mapping[str, Any]) -> set[str]:
    return {each["document_id"] for name in ("citations", "named") for each in rag.get(name, ())}


def existing(database: Database, wanted: set[str]) -> set[str]:
    found: set[str] = set()
    with database.reading() as connection:
        for some in batches(sorted(wanted)):
            found |= set(connection.execute(select(documents.c.id).where(documents.c.id.in_(some))).scalars())
    return found
