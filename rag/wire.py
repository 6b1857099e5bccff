"""The JSON on the network, shared by API and SDK: OpenAI's chat shape, and ours beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rag.errors import RagError, WorkerError, by_name
from rag.store.jobs import Job
from rag.types import Answer, Chunk, Citation, Cost, Document, Outcome, Passage, Tier, Usage

AUTO = "auto"


class Incoming(BaseModel):
    """A request body. Fields of OpenAI's shape that change nothing here are let through."""

    model_config = ConfigDict(extra="ignore")


class TextPart(Incoming):
    """A piece of a message; only text is read."""

    type: Literal["text"]
    text: str


class ChatMessage(Incoming):
    """One turn of the conversation as OpenAI clients send it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Incoming):
    """What a streamed answer carries beside its text."""

    include_usage: bool = False


class RagOptions(BaseModel):
    """What our own clients may add to a chat request."""

    model_config = ConfigDict(extra="forbid")

    collection: str | None = None
    limit: int | None = Field(default=None, ge=1, le=100)
    passages: bool = False


class ChatRequest(Incoming):
    """POST /v1/chat/completions. `model` is a tier (auto, extract, small), or tier/collection."""

    model: str = AUTO
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    user: str | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    rag: RagOptions = RagOptions()

    @field_validator("stream_options", "rag", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("n")
    @classmethod
    def _one_answer(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            raise ValueError("one answer is given per request; send n=1 or leave it out")
        return value

    @field_validator("tools", "functions")
    @classmethod
    def _no_tools(cls, value: list[Any] | None) -> list[Any] | None:
        if value:
            raise ValueError("tools are not offered: answers come from the documents only")
        return value

    @field_validator("response_format")
    @classmethod
    def _text_only(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value and value.get("type") != "text":
            raise ValueError(
                "answers are text with citations; response_format other than text is not offered"
            )
        return value


class SearchRequest(BaseModel):
    """POST /v1/search: passages, no generated word."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1, le=100)
    collection: str | None = None


class SearchReply(BaseModel):
    """Passages, best first, with the score of each leg."""

    object: Literal["list"] = "list"
    passages: list[Passage]


class DocumentsReply(BaseModel):
    """Documents the caller may read; `next`: what to send as `after` for those behind them, if there are."""

    object: Literal["list"] = "list"
    documents: list[Document]
    next: str | None = None


class ChunksReply(BaseModel):
    """Chunks of a document in order; `next`: what to send as `after` for those behind them, if there are."""

    object: Literal["list"] = "list"
    chunks: list[Chunk]
    next: int | None = None


class UploadReply(BaseModel):
    """Documents that wait to be indexed, and the job that does it."""

    object: Literal["upload"] = "upload"
    job: str
    documents: list[Document]


class JobsReply(BaseModel):
    """Runs of ingestion, newest first."""

    object: Literal["list"] = "list"
    jobs: list[Job]


class Erased(BaseModel):
    """A document that was forgotten. `chunks`: rows of text it had; `original`: its bytes were kept here."""

    id: str
    uri: str
    sha256: str
    versions: list[int]
    chunks: int
    original: bool


class Receipt(BaseModel):
    """What was forgotten, and what a look afterwards still found; complete when nothing was."""

    at: str
    documents: list[Erased]
    left: dict[str, int]
    kv_epoch: str
    notes: list[str]
    complete: bool


class RagPart(BaseModel):
    """What an answer rests on and what it cost: the `rag` object beside OpenAI's fields."""

    outcome: Outcome
    tier: Tier
    citations: list[Citation]
    passages: list[Passage] | None = None
    usage: Usage
    cost: Cost
    seconds: dict[str, float]
    egress: str
    model: str
    model_sha256: str = ""
    ignored: list[str] = []
    confidence: float | None = None
    cached: str = ""

    def answer(self, text: str) -> Answer:
        """The answer this part and its text came from."""
        return Answer(
            text=text,
            outcome=self.outcome,
            tier=self.tier,
            citations=tuple(self.citations),
            passages=tuple(self.passages or ()),
            usage=self.usage,
            cost=self.cost,
            seconds=self.seconds,
            model=self.model,
            egress=self.egress,
            confidence=self.confidence,
            cached=self.cached,
        )


def rag_part(answer: Answer, *, passages: bool, model_sha256: str, ignored: list[str]) -> RagPart:
    """The `rag` object of an answer."""
    return RagPart(
        outcome=answer.outcome,
        tier=answer.tier,
        citations=list(answer.citations),
        passages=list(answer.passages) if passages else None,
        usage=answer.usage,
        cost=answer.cost,
        seconds=dict(answer.seconds),
        egress=answer.egress,
        model=answer.model,
        model_sha256=model_sha256,
        ignored=ignored,
        confidence=answer.confidence,
        cached=answer.cached,
    )


def usage_part(usage: Usage) -> dict[str, Any]:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "approximate_tokens": usage.approximate_tokens,
        },
    }


KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(message: str, *, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def restore(body: Any) -> RagError:
    """The error that an error object was made from."""
    fields = body.get("error", {}) if isinstance(body, dict) else {}
    classes = {error.code: error for error in by_name().values()}
    return classes.get(str(fields.get("code")), WorkerError)(str(fields.get("message", body)))
