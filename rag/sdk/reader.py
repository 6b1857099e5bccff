"""A streamed answer, read line by line into events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from rag.answering.events import Delta, Event, Final, Sources
from rag.errors import AnswerBroken
from rag.types import Passage
from rag.wire import RagPart, restore

PASSAGES = TypeAdapter(tuple[Passage, ...])


class AnswerReader:
    """Turns server-sent events into Sources, Delta and Final, and knows whether the answer is whole."""

    def __init__(self) -> None:
        self._text, self._passages = "", tuple[Passage, ...]()
        self.whole = False

    def read(self, line: str) -> Iterator[Event]:
        """What one line says. Raises the error that the server tells, AnswerBroken for half a line."""
        if not line.startswith("data: "):
            return
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            self.whole = True
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            raise self.broken("the server ended it in the middle of a line") from None
        if "error" in chunk:
            raise restore(chunk)
        for event in self._events(chunk):
            if isinstance(event, Delta):
                self._text += event.text
            elif isinstance(event, Sources):
                self._passages = event.passages
            yield event

    def end(self) -> None:
        """The stream is over. Raises AnswerBroken when the answer was not whole."""
        if not self.whole:
            raise self.broken("the server ended it")

    def broken(self, why: str) -> AnswerBroken:
        """The error for an answer that ends here, with what came of it."""
        return AnswerBroken(
            f"the answer ended before it was whole: {why} after {len(self._text)} characters; ask again",
            text=self._text,
            passages=self._passages,
        )

    def _events(self, chunk: dict[str, Any]) -> Iterator[Event]:
        extra = chunk.get("rag")
        for choice in chunk.get("choices", ()):
            if content := choice["delta"].get("content"):
                yield Delta(content)
            if choice["finish_reason"] and extra:
                yield Final(RagPart.model_validate(extra).answer(self._text))
            elif extra and "passages" in extra:
                yield Sources(PASSAGES.validate_python(extra["passages"]))
