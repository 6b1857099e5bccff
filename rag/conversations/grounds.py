"""What an answer rests on: kept as places in documents, and read again for whoever looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rag.answering.citations import cite
from rag.answering.sentences import Sentence, sentences
from rag.conversations.shelf import Kept
from rag.store.catalog import Catalog, StoredChunk
from rag.types import Answer, Citation, Document, Message, Passage, Principal, Role
from rag.wire import RagPart, rag_part

HISTORY_MESSAGES = 20


class Viewer(StrEnum):
    """Who looks: the owner has seen every answer before, others have not."""

    OWNER = "owner"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as a viewer may see it now.

    `withheld`: why an answer has neither text nor sources; the same for removed documents and forbidden ones.
    A citation without a quote stands for a document that has changed since.
    """

    id: str
    role: Role
    text: str
    created_at: float
    rag: RagPart | None = None
    withheld: str = ""


WITHHELD = "Its sources were removed, or are not open to you."
CHANGED = "Its sources have changed since."


def places(answer: Answer, *, model_sha256: str = "") -> dict[str, Any]:
    """An answer's `rag` part to be kept, with the places of its citations for their quotes and titles."""
    part = rag_part(answer, passages=False, model_sha256=model_sha256, ignored=[]).model_dump(mode="json")
    part["citations"] = [
        {**place(each.document_id, each.version, each.chunk_id), "marker": each.marker, "score": each.score}
        | {"start": each.start, "end": each.end}
        for each in answer.citations
    ]
    # A refusal, a question back and a note name documents by their titles.
    said = "\n".join((answer.text, *answer.notes))
    part["named"] = [
        place(each.document_id, each.version, each.chunk.id) for each in answer.passages if each.title in said
    ]
    return part


def place(document_id: str, version: int, chunk_id: str) -> dict[str, Any]:
    return {"document_id": document_id, "version": version, "chunk_id": chunk_id}


class Reading:
    """Some messages as one viewer may see them now, looked up together."""

    def __init__(self, kept: Sequence[Kept], catalog: Catalog, principal: Principal, viewer: Viewer) -> None:
        self._kept, self._viewer = kept, viewer
        needed = [each for message in kept for each in rests_on(message)]
        self._live = catalog.passages(list({each["chunk_id"] for each in needed}), principal)
        moved = {each["document_id"] for each in needed if each["chunk_id"] not in self._live}
        self._documents: Mapping[str, Document | None] = {
            document_id: catalog.document(document_id, principal) for document_id in sorted(moved)
        }

    def all(self) -> list[Shown]:
        """Every message, in the same order."""
        return [self._shown(each) for each in self._kept]

    def _shown(self, message: Kept) -> Shown:
        if message.rag is None:
            return Shown(message.id, message.role, message.text, message.created_at)
        stored = dict(message.rag)
        # Words of a document that is gone are blanked, and stay so when it comes back.
        withheld = self._withheld(rests_on(message)) if message.text else WITHHELD
        if withheld:
            return Shown(message.id, message.role, "", message.created_at, withheld=withheld)
        del stored["named"]
        stored["citations"] = [self._citation(each) for each in message.rag["citations"]]
        ids = {"conversation": message.conversation, "message": message.id}
        part = RagPart.model_validate({**stored, **ids})
        return Shown(message.id, message.role, message.text, message.created_at, part)

    def _withheld(self, needed: Iterable[Mapping[str, Any]]) -> str:
        """Why the words may not be shown; empty when they may.

        Another reader than the owner never saw the version that an answer was made from.
        """
        missing = [each for each in needed if each["chunk_id"] not in self._live]
        if not all(self._documents[each["document_id"]] for each in missing):
            return WITHHELD
        return CHANGED if missing and self._viewer is Viewer.OTHER else ""

    def _citation(self, kept: Mapping[str, Any]) -> Citation:
        if found := self._live.get(kept["chunk_id"]):
            return quoted(kept, found)
        document = self._documents[kept["document_id"]]
        assert document is not None
        return Citation(
            marker=kept["marker"],
            document_id=document.id,
            title=document.title,
            uri=document.uri,
            chunk_id="",
            quote="",
            start=0,
            end=0,
            version=document.version,
        )


def rests_on(message: Kept) -> Iterator[Mapping[str, Any]]:
    """The places that a viewer must be allowed to read."""
    if message.rag is not None:
        yield from message.rag["citations"]
        yield from message.rag["named"]


def quoted(kept: Mapping[str, Any], found: StoredChunk) -> Citation:
    """A citation with its words, cut from the chunk as it is."""
    chunk, document = found.chunk, found.document
    passage = Passage(chunk, document.id, document.version, document.title, document.uri, kept["score"])
    start, end = kept["start"], kept["end"]
    whole = Sentence(start, end, chunk.text[start:end])
    alike = (each for each in sentences(chunk.text) if (each.start, each.end) == (start, end))
    return cite(passage, next(alike, whole), marker=kept["marker"], score=kept["score"])


def history(shown: Sequence[Shown]) -> tuple[Message, ...]:
    """The last messages as the assistant reads them, without the answers that are withheld."""
    return tuple(Message(each.role, each.text) for each in shown[-HISTORY_MESSAGES:] if not each.withheld)
