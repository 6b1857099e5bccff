"""Permafrost in this process: opens a home, owns its children, closes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rag.assembly import Summary, System, open_system
from rag.assistant import Event, Final
from rag.errors import BadRequest, UnknownModel, WorkerError
from rag.sdk.loop import Loop
from rag.settings import Settings, load
from rag.types import Answer, Document, Message, Passage, Tier


class Rag:
    """An opened home. `Rag.open(path)`, then `ingest`, `search`, `ask`, `stream`; close it, or use `with`.

    Several processes may open the same home, a running server among them.
    """

    def __init__(self, settings: Settings, *, linger: bool = False) -> None:
        self._loop = Loop()
        self._stack = contextlib.AsyncExitStack()
        try:
            self.system: System = self._loop.run(
                self._stack.enter_async_context(open_system(settings, linger=linger))
            )
        except BaseException:
            self._loop.close()
            raise

    @classmethod
    def open(cls, path: str | Path, **settings: Any) -> Self:
        """Open the home at `path`, made if it is not there. Other settings as in rag.toml, by section."""
        return cls(load(home=Path(path), **settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the children and close the database. Closing twice is fine."""
        if self._loop.closed:
            return
        try:
            self._loop.run(self._stack.aclose())
        finally:
            self._loop.close()

    def warm(self) -> None:
        """Begin to start the children, so that the first question waits less. Returns at once."""
        self._loop.begin(self.system.warm())

    def ingest(
        self, *paths: str | Path, collection: str = "default", groups: Sequence[str] = ("everyone",)
    ) -> Summary:
        """Bring the index up to date with files and folders; returns the pipeline's summary."""
        if not paths:
            raise BadRequest("ingest needs at least one file or folder")
        return self._loop.run(
            self.system.ingest([Path(path) for path in paths], collection=collection, groups=tuple(groups))
        )

    def search(self, query: str, *, collection: str | None = None, limit: int | None = None) -> list[Passage]:
        """Passages, best first."""
        found = self.system.retriever.search(query, self.system.principal, collection=collection, limit=limit)
        return self._loop.run(found)

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
        for event in self.stream(question, history=history, collection=collection, tier=tier, limit=limit):
            if isinstance(event, Final):
                return event.answer
        raise WorkerError("the answer ended before it was whole; ask again")

    def stream(
        self,
        question: str,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: Tier | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Sources, then text as it is checked, then the whole answer. Leaving early cancels it."""
        return self._loop.iterate(
            self.system.assistant.ask(
                question,
                self.system.principal,
                history=tuple(history),
                collection=collection,
                tier=tier_named(tier),
                limit=limit,
            )
        )

    def documents(self, *, collection: str | None = None) -> list[Document]:
        """The documents that may be read."""
        return self.system.catalog.documents(self.system.principal, collection=collection)


def tier_named(name: Tier | str | None) -> Tier | None:
    """The tier of that name; None for auto. Raises UnknownModel."""
    if name is None or name == "auto":
        return None
    try:
        return Tier(name)
    except ValueError:
        raise UnknownModel(f"no tier {name!r}; have auto, {', '.join(Tier)}") from None
