"""The verbs that `Rag` and `Client` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rag.assistant import Event
from rag.types import Answer, Document, Message, Passage, Tier


class Knowledge(Protocol):
    """Something that can be searched and asked."""

    def search(self, query: str, *, collection: str | None = None, limit: int | None = None) -> list[Passage]:
        """Passages, best first."""
        ...

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """The whole answer."""
        ...

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer."""
        ...

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        ...
