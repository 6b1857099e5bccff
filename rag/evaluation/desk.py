"""Whom an evaluation asks: the role that a library in this process and the collection of a server fill."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rag.answering.events import Event
from rag.errors import WorkerError
from rag.types import Document, Message, Passage

ATTEMPTS = 3  # at a question: an hour of work is not lost to one child that died or was late

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Desk(ABC):
    """Searches and answers in one collection, and knows which corpus id a passage stands for.

    `rows`: corpus ids by the ids of chunks and documents that mean them. `bound`: what the numbers of an
    evaluation depend on beside the data set. `currency`: that of costs.
    """

    collection: str
    rows: Mapping[str, str] = field(default_factory=dict)
    bound: Mapping[str, str] = field(default_factory=dict)
    currency: str = ""

    @abstractmethod
    async def search(self, question: str, *, limit: int) -> list[Passage]:
        """Passages, best first."""

    @abstractmethod
    def ask(self, question: str, *, history: Sequence[Message], tier: str | None) -> AsyncIterator[Event]:
        """The events of one answer; `tier` None: whoever is chosen for the question."""

    def clock(self) -> float:
        """Seconds, of which only differences mean something: those that the asked side took."""
        return time.perf_counter()

    def row(self, passage: Passage) -> str:
        """The corpus id of a passage; the id of its document where the data set does not know it."""
        places = (passage.chunk.id, passage.document_id)
        return next((self.rows[place] for place in places if place in self.rows), passage.document_id)

    def ranked(self, passages: Iterable[Passage]) -> list[str]:
        """The corpus ids of passages, best first, each once."""
        return list(dict.fromkeys(self.row(passage) for passage in passages))


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What asking gives, asked again when a child died or was late. Raises the last WorkerError."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await ask()
        except WorkerError as error:
            print(f"asked again: {error}", file=sys.stderr)
    return await ask()


def named(documents: Sequence[Document], wanted: Iterable[str]) -> dict[str, str]:
    """The wanted ids by the document that each means: by its id, its uri, or its file name if unique."""
    known = set(wanted)
    names = Counter(Path(document.uri).name for document in documents)
    found = {}
    for document in documents:
        name = Path(document.uri).name
        keys = [document.id, document.uri, *([name, Path(name).stem] if names[name] == 1 else [])]
        if key := next((key for key in keys if key in known), None):
            found[document.id] = key
    return found


def unknown(wanted: Iterable[str], collection: str) -> str:
    """What to say when no id of a data set means anything in the collection that it asks about."""
    ids = sorted(wanted)
    return (
        f"none of the {len(ids)} ids in the data set names a document of collection {collection!r}: "
        f"{ids[0]!r}, for one; ids are uris, file names, or ids of documents or chunks"
    )
