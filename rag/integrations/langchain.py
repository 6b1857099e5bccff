"""Permafrost inside LangChain: a retriever, a chat model and embeddings, on a server or an opened `Rag`."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForLLMRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, model_validator

from rag.answering.events import Delta, Event, Final
from rag.errors import BadRequest
from rag.integrations.access import Access
from rag.sdk.async_client import AsyncClient
from rag.sdk.knowledge import Knowledge
from rag.types import Answer, Message, Passage, Usage

# https://python.langchain.com/docs/concepts/chat_models, standard parameters
SHARED = frozenset({"temperature", "max_tokens", "timeout", "stop", "max_retries", "streaming"})
OPTIONS = ("filter", "limit", "max_cost")  # of a question, beside who answers it


class PermafrostRetriever(BaseRetriever):
    """Passages as LangChain documents, best first; metadata says where each stands and its scores.

    `k` and `filter` may be given to `invoke` too.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    k: int = Field(8, ge=1)
    collection: str | None = None
    filter: str = Field("", description='as "label:policy language:de date:2023.."')
    base_url: str = Field("", description="else RAG_URL, else this machine")
    api_key: str = Field("", repr=False, description="else RAG_API_KEY")
    source: Any = Field(None, exclude=True, description="an opened Rag or a Client, instead of base_url")
    async_source: Any = Field(None, exclude=True, description="an AsyncClient, instead or beside")

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: str | None = None,
    ) -> list[Document]:
        with access_of(self).called() as source:
            passages = source.search(query, **self._wanted(k, filter))
        return [document_of(passage) for passage in passages]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: str | None = None,
    ) -> list[Document]:
        async with access_of(self).awaited() as source:
            passages = await source.search(query, **self._wanted(k, filter))
        return [document_of(passage) for passage in passages]

    def _wanted(self, k: int | None, only: str | None) -> dict[str, Any]:
        only = self.filter if only is None else only
        return {"collection": self.collection, "limit": k or self.k, "filter": only}


class PermafrostEmbeddings(Embeddings):
    """The embedder of the index, with its own side for questions. Address, key, sources as above."""

    def __init__(
        self,
        base_url: str = "",
        api_key: str = "",
        *,
        source: Knowledge | None = None,
        async_source: AsyncClient | None = None,
    ) -> None:
        self._access = Access(source, async_source, base_url, api_key)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of length one for each text."""
        with self._access.called() as source:
            return source.embed(texts)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        with self._access.called() as source:
            return source.embed([text], side="query")[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of length one for each text."""
        async with self._access.awaited() as source:
            return await source.embed(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        async with self._access.awaited() as source:
            return (await source.embed([text], side="query"))[0]


class ChatPermafrost(BaseChatModel):
    """Cited answers from the documents. `response_metadata["rag"]` holds outcome, tier, citations and cost.

    Sampling is Permafrost's own (greedy, so that an answer can be repeated); there are no tools. `model`,
    `filter`, `limit` and `max_cost` may be given to `invoke` too; BadRequest for anything else.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True, extra="forbid")

    model: str = Field("auto", description="tier: auto, extract or another that /v1/models lists")
    collection: str | None = None
    filter: str = Field("", description='as "label:policy language:de date:2023.."')
    limit: int | None = Field(None, ge=1, description="passages to answer from; None: as the server is set")
    max_cost: float | None = Field(None, ge=0, description="of one answer, in the server's currency")
    base_url: str = Field("", description="else RAG_URL, else this machine")
    api_key: str = Field("", repr=False, description="else RAG_API_KEY")
    source: Any = Field(None, exclude=True, description="an opened Rag or a Client, instead of base_url")
    async_source: Any = Field(None, exclude=True, description="an AsyncClient, instead or beside")

    @model_validator(mode="before")
    @classmethod
    def _without_effect(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What chat models of LangChain share is told to have no effect; what nobody knows is refused."""
        if vain := [name for name in given if name in SHARED]:
            warnings.warn(f"{', '.join(vain)}: of no effect in ChatPermafrost", stacklevel=2)
        return {name: value for name, value in given.items() if name not in SHARED}

    @property
    def _llm_type(self) -> str:
        return "permafrost"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "collection": self.collection}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "permafrost"
        params["ls_model_name"] = str(kwargs.get("model", self.model))
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with access_of(self).called() as source:
            return result_of(source.ask(**self._asked(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with access_of(self).awaited() as source:
            return result_of(await source.ask(**self._asked(messages, stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with access_of(self).called() as source:
            for event in source.stream(**self._asked(messages, stop, kwargs)):
                if not (chunk := chunk_of(event)):
                    continue
                if run_manager and isinstance(event, Delta):
                    run_manager.on_llm_new_token(event.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with access_of(self).awaited() as source:
            async for event in source.stream(**self._asked(messages, stop, kwargs)):
                if not (chunk := chunk_of(event)):
                    continue
                if run_manager and isinstance(event, Delta):
                    await run_manager.on_llm_new_token(event.text, chunk=chunk)
                yield chunk

    def _asked(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, given: dict[str, Any]
    ) -> dict[str, Any]:
        question, history = conversation(messages)
        unknown = sorted({*given} - {"model", *OPTIONS}) + ["stop"] * bool(stop)
        if unknown:
            raise BadRequest(
                f"ChatPermafrost does not take {', '.join(unknown)}; it has model, {', '.join(OPTIONS)}. "
                "The OpenAI client takes sampling and stop texts, at the server's /v1"
            )
        options = {name: given.get(name, getattr(self, name)) for name in OPTIONS}
        tier = str(given.get("model", self.model))
        return {
            "question": question,
            "history": history,
            "collection": self.collection,
            "tier": tier,
            **options,
        }


def access_of(adapter: PermafrostRetriever | ChatPermafrost) -> Access:
    """How an adapter reaches its knowledge."""
    return Access(adapter.source, adapter.async_source, adapter.base_url, adapter.api_key)


def chunk_of(event: Event) -> ChatGenerationChunk | None:
    """What an event is in a stream of LangChain's."""
    if isinstance(event, Delta):
        return ChatGenerationChunk(message=AIMessageChunk(content=event.text))
    if isinstance(event, Final):
        last = AIMessageChunk(
            content="",
            usage_metadata=usage_of(event.answer.usage),
            response_metadata=metadata_of(event.answer),
            chunk_position="last",
        )
        return ChatGenerationChunk(message=last)
    return None


def result_of(answer: Answer) -> ChatResult:
    """A whole answer as LangChain knows results."""
    message = AIMessage(
        content=answer.text, usage_metadata=usage_of(answer.usage), response_metadata=metadata_of(answer)
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def conversation(messages: Sequence[BaseMessage]) -> tuple[str, list[Message]]:
    """The question and the turns before it; system messages are left out, as over HTTP."""
    if not messages or not isinstance(messages[-1], HumanMessage):
        raise BadRequest("the last message must be a HumanMessage: the question")
    turns = [
        Message("user" if isinstance(message, HumanMessage) else "assistant", message.text)
        for message in messages[:-1]
        if isinstance(message, HumanMessage | AIMessage)
    ]
    return messages[-1].text, turns


def document_of(passage: Passage) -> Document:
    """A passage as LangChain knows documents."""
    return Document(
        id=passage.chunk.id,
        page_content=passage.chunk.text,
        metadata={
            "document_id": passage.document_id,
            "title": passage.title,
            "source": passage.uri,
            "pages": list(passage.chunk.pages),
            "section": " > ".join(passage.chunk.heading_path),
            "score": passage.score,
            "dense": passage.dense,
            "sparse": passage.sparse,
        },
    )


def usage_of(usage: Usage) -> UsageMetadata:
    """Token counts as LangChain knows them."""
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details={"cache_read": usage.cached_tokens},
    )


def metadata_of(answer: Answer) -> dict[str, Any]:
    """What an answer rests on and what it cost."""
    citations = [
        {
            "marker": citation.marker,
            "title": citation.title,
            "source": citation.uri,
            "page": citation.page,
            "section": citation.section,
            "quote": citation.quote,
        }
        for citation in answer.citations
    ]
    return {
        "model_name": answer.model,
        "rag": {
            "outcome": answer.outcome.value,
            "tier": str(answer.tier),
            "citations": citations,
            "cost": {
                "amount": answer.cost.amount,
                "currency": answer.cost.currency,
                "method": answer.cost.method,
            },
            "seconds": dict(answer.seconds),
            "egress": answer.egress,
        },
    }
