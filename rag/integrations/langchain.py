"""Permafrost inside LangChain: a retriever and a chat model on top of `Rag` or `Client`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from rag.assistant import Delta, Final
from rag.errors import BadRequest
from rag.sdk.client import Client
from rag.sdk.knowledge import Knowledge
from rag.types import Answer, Message, Passage, Usage


class PermafrostRetriever(BaseRetriever):
    """Passages as LangChain documents, best first; metadata says where each stands and its scores."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    source: Any = Field(description="an opened Rag or a Client")
    k: int = Field(8, ge=1)
    collection: str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        source: Knowledge = self.source
        passages = source.search(query, collection=self.collection, limit=k or self.k)
        return [document_of(passage) for passage in passages]


class ChatPermafrost(BaseChatModel):
    """Cited answers from the documents. `response_metadata["rag"]` holds outcome, tier, citations and cost.

    Sampling is Permafrost's own (greedy, so that an answer can be repeated); there are no tools.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    model: str = Field("auto", description="tier: auto, extract or small")
    collection: str | None = None
    base_url: str = "http://127.0.0.1:8000"
    api_key: str = Field("", repr=False)
    source: Any = Field(None, exclude=True, description="an opened Rag or a Client, instead of base_url")

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.source is None:
            self.source = Client(self.base_url, self.api_key)

    @property
    def _llm_type(self) -> str:
        return "permafrost"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "collection": self.collection}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "permafrost"
        params["ls_model_name"] = self._tier(kwargs)
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        question, history = conversation(messages)
        source: Knowledge = self.source
        answer = source.ask(question, history=history, collection=self.collection, tier=self._tier(kwargs))
        message = AIMessage(
            content=answer.text, usage_metadata=usage_of(answer.usage), response_metadata=metadata_of(answer)
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        question, history = conversation(messages)
        source: Knowledge = self.source
        events = source.stream(question, history=history, collection=self.collection, tier=self._tier(kwargs))
        for event in events:
            if isinstance(event, Delta):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=event.text))
                if run_manager:
                    run_manager.on_llm_new_token(event.text, chunk=chunk)
                yield chunk
            elif isinstance(event, Final):
                last = AIMessageChunk(
                    content="",
                    usage_metadata=usage_of(event.answer.usage),
                    response_metadata=metadata_of(event.answer),
                    chunk_position="last",
                )
                yield ChatGenerationChunk(message=last)

    def _tier(self, kwargs: dict[str, Any]) -> str:
        return str(kwargs.get("model", self.model))


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
