"""The tools that agents get: what each takes, does and gives. Where they are offered is another file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.errors import BadRequest
from rag.integrations.library import Library
from rag.types import Citation, Passage

CHUNKS_AT_ONCE = 20


class Arguments(BaseModel):
    """What a tool takes; anything else is an error."""

    model_config = ConfigDict(extra="forbid")


class SearchArguments(Arguments):
    query: str = Field(min_length=1, max_length=20_000, description="what to look for, in any words")
    collection: str | None = Field(None, description="only documents of this collection")
    limit: int = Field(8, ge=1, le=50, description="passages at most")


class AskArguments(Arguments):
    question: str = Field(min_length=1, max_length=20_000, description="a whole question")
    collection: str | None = Field(None, description="only documents of this collection")


class OpenArguments(Arguments):
    document_id: str = Field(min_length=1, description="as search and ask give it")
    start: int = Field(0, ge=0, description="number of the first piece; `next` of the call before")


class NoArguments(Arguments):
    """Nothing."""


class FoundPassage(BaseModel):
    """A passage and where it stands. `score` in [0, 1]."""

    document_id: str
    title: str
    source: str
    pages: list[int]
    section: str
    text: str
    score: float


class FoundPassages(BaseModel):
    """Passages, best first."""

    passages: list[FoundPassage]


class Cited(BaseModel):
    """The words of a document that the answer rests on, to the letter."""

    marker: int
    document_id: str
    title: str
    page: int | None
    section: str
    quote: str


class CitedAnswer(BaseModel):
    """An answer whose [n] markers point into `citations`. `confidence` in [0, 1], if estimated."""

    answer: str
    outcome: str
    citations: list[Cited]
    confidence: float | None
    tier: str
    cost: float
    currency: str
    egress: str


class OpenedDocument(BaseModel):
    """Some of a document's text. `next`: what to send as `start` for more; null at the end."""

    document_id: str
    title: str
    source: str
    collection: str
    pages: int
    text: str
    next: int | None


class Collections(BaseModel):
    """Names of collections."""

    collections: list[str]


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One tool."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    result: type[BaseModel]
    work: Callable[[Library, Any], Awaitable[BaseModel]]

    async def run(self, library: Library, arguments: dict[str, Any]) -> BaseModel:
        """What it gives. Raises BadRequest that names a wrong argument, and the errors of the library."""
        try:
            read = self.arguments.model_validate(arguments)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise BadRequest(f"{where}: {problem['msg']}") from None
        return await self.work(library, read)


async def search(library: Library, asked: SearchArguments) -> FoundPassages:
    """Look for passages."""
    found = await library.search(asked.query, collection=asked.collection, limit=asked.limit)
    return FoundPassages(passages=[shown(passage) for passage in found])


async def ask(library: Library, asked: AskArguments) -> CitedAnswer:
    """Answer a question."""
    answer = await library.ask(asked.question, collection=asked.collection)
    return CitedAnswer(
        answer=answer.text,
        outcome=answer.outcome,
        citations=[cited(citation) for citation in answer.citations],
        confidence=answer.confidence,
        tier=answer.tier,
        cost=answer.cost.amount,
        currency=answer.cost.currency,
        egress=answer.egress,
    )


async def open_document(library: Library, asked: OpenArguments) -> OpenedDocument:
    """Read on in a document."""
    document = await library.document(asked.document_id)
    chunks = [each for each in await library.chunks(document.id) if each.ordinal >= asked.start]
    page, more = chunks[:CHUNKS_AT_ONCE], chunks[CHUNKS_AT_ONCE:]
    return OpenedDocument(
        document_id=document.id,
        title=document.title,
        source=document.uri,
        collection=document.collection,
        pages=document.pages,
        text="\n\n".join(chunk.text for chunk in page),
        next=more[0].ordinal if more else None,
    )


async def list_collections(library: Library, asked: NoArguments) -> Collections:
    """What there is."""
    return Collections(collections=await library.collections())


TOOLS = (
    AgentTool(
        "search",
        "Search documents",
        "Find passages of the organisation's documents, best first, by meaning and by words.",
        SearchArguments,
        FoundPassages,
        search,
    ),
    AgentTool(
        "ask",
        "Ask the documents",
        "Answer a question from the organisation's documents, with quotes as evidence. Says so when they do "
        "not hold an answer.",
        AskArguments,
        CitedAnswer,
        ask,
    ),
    AgentTool(
        "open_document",
        "Open a document",
        "Read the text of a document that search or ask has named, some pieces at a time.",
        OpenArguments,
        OpenedDocument,
        open_document,
    ),
    AgentTool(
        "list_collections",
        "List collections",
        "Name the collections of documents that may be searched.",
        NoArguments,
        Collections,
        list_collections,
    ),
)


def shown(passage: Passage) -> FoundPassage:
    """A passage as a tool gives it."""
    return FoundPassage(
        document_id=passage.document_id,
        title=passage.title,
        source=passage.uri,
        pages=list(passage.chunk.pages),
        section=" > ".join(passage.chunk.heading_path),
        text=passage.chunk.text,
        score=round(passage.score, 4),
    )


def cited(citation: Citation) -> Cited:
    """A citation as a tool gives it."""
    return Cited(
        marker=citation.marker,
        document_id=citation.document_id,
        title=citation.title,
        page=citation.page,
        section=citation.section,
        quote=citation.quote,
    )
