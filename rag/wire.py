"""The JSON on the network, shared by API and SDK: OpenAI's chat shape, and ours beside it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict

from rag.errors import RagError, WorkerError, by_name
from rag.store.jobs import Job
from rag.types import Answer, Box, Chunk, Citation, Cost, Document, Outcome, Passage, Usage

AUTO = "auto"
# OpenAI clients send null for what is not set; rag/api/openapi.py says so in the document.
NULLABLE: JsonDict = {"nullable": True}


def boolean(value: Any) -> Any:
    """Raises ValueError for 0 and 1, which a Literal takes for False and True."""
    if not isinstance(value, bool):
        raise ValueError("should be true or false")
    return value


class Incoming(BaseModel):
    """A request body. Fields of OpenAI's shape that change nothing here are let through."""

    model_config = ConfigDict(extra="ignore", strict=True)


class TextPart(Incoming):
    """A piece of a message; only text is read."""

    type: Literal["text"]
    text: str


class RefusalPart(Incoming):
    """What an earlier answer refused, as clients send it back."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class ChatMessage(Incoming):
    """One turn of the conversation as OpenAI clients send it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Incoming):
    """What a streamed answer carries beside its text."""

    include_usage: bool = False


class RagOptions(BaseModel):
    """What our own clients may add to a request for an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    collection: str | None = None
    limit: int | None = Field(default=None, ge=1, le=100, description="passages to answer from")
    filter: str = Field(default="", max_length=1000, description="label:policy language:de date:2023..")
    passages: bool = Field(default=False, description="send what was found along")
    events: Literal["plain", "typed"] = Field(
        default="plain", description="typed: events named sources, delta, citation and final"
    )
    reuse: Literal["approximate", "exact", "off"] = Field(
        default="approximate", description="which cached KV the model may use at most"
    )
    verbatim: bool | None = Field(default=None, description="only runs of words of the passages")
    replayable: bool = Field(default=False, description="the same bytes today and in an audit, unshared")
    priority: Literal["interactive", "batch"] = "interactive"
    conversation: str | None = Field(
        default=None, description="id of a kept conversation, or `new`; its turns are the history"
    )
    max_cost: float | None = Field(default=None, gt=0, description="refuse or answer cheaper above this")


class JsonSchemaFormat(Incoming):
    """The schema that an answer must be JSON of."""

    name: str = Field(min_length=1, max_length=64)
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormat(Incoming):
    """Text with citations, or JSON all of whose values the documents hold."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _schema_where_one_is_meant(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs the field json_schema")
        return self

    @property
    def schema_text(self) -> str:
        """The schema as text; empty for an answer in words."""
        if self.type == "text":
            return ""
        return json.dumps(self.json_schema.schema_ if self.json_schema else {}, ensure_ascii=False)


class Drawn(Incoming):
    """How the model's words are drawn: the fields of OpenAI's that more than one endpoint takes."""

    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[Annotated[str, Field(pattern=r"^\d{1,7}$")], float] | None = Field(
        default=None, max_length=300
    )

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None and not all([value] if isinstance(value, str) else value):
            raise ValueError("an empty stop string would end every answer; leave it out")
        return value


class ChatRequest(Drawn):
    """POST /v1/chat/completions. `model`: a tier (auto, extract, small), a collection, or collection:tier."""

    model: str = AUTO
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    stream: bool = Field(False, json_schema_extra=NULLABLE)
    stream_options: StreamOptions = Field(StreamOptions(), json_schema_extra=NULLABLE)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32_768)
    n: int | None = Field(default=None, ge=1, le=4)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    user: str | None = None
    tools: list[Any] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    functions: list[Any] | None = None
    modalities: list[Literal["text"]] | None = None
    web_search_options: None = None
    response_format: ResponseFormat = Field(ResponseFormat(), json_schema_extra=NULLABLE)
    rag: RagOptions = Field(RagOptions(), json_schema_extra=NULLABLE)

    @field_validator("stream_options", "rag", "response_format", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("stream", mode="before")
    @classmethod
    def _null_is_false(cls, value: Any) -> Any:
        return False if value is None else value

    @field_validator("tools", "functions")
    @classmethod
    def _no_tools(cls, value: list[Any] | None) -> list[Any] | None:
        if value:
            raise ValueError("tools are not offered: answers come from the documents only")
        return value


class CompletionRequest(Drawn):
    """POST /v1/completions: the prompt is a question, its answer a text with citations."""

    model: str = AUTO
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=16)]
    stream: bool | None = None
    stream_options: StreamOptions = Field(StreamOptions(), json_schema_extra=NULLABLE)
    n: int | None = Field(default=None, ge=1, le=1)
    best_of: int | None = Field(default=None, ge=1, le=1)
    logprobs: None = None
    suffix: None = None
    echo: Annotated[bool, Field(json_schema_extra={"const": False})] | None = None
    user: str | None = None
    rag: RagOptions = Field(RagOptions(), json_schema_extra=NULLABLE)

    @field_validator("stream_options", "rag", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("echo")
    @classmethod
    def _no_echo(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("the prompt is a question and is not repeated; leave echo out")
        return value

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class InputPart(Incoming):
    """A piece of an input message; only text is read."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputMessage(Incoming):
    """One turn in the words of the responses API."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[InputPart | RefusalPart, Field(discriminator="type")]]

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content


class TextFormat(Incoming):
    """As ResponseFormat, but that name and schema stand beside the type."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(default=None, min_length=1, max_length=64)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _schema_where_one_is_meant(self) -> TextFormat:
        if self.type == "json_schema" and self.schema_ is None:
            raise ValueError("type json_schema needs the field schema")
        return self

    @property
    def schema_text(self) -> str:
        """The schema as text; empty for an answer in words."""
        return "" if self.type == "text" else json.dumps(self.schema_ or {}, ensure_ascii=False)


class TextOptions(Incoming):
    """How the text of a response is written."""

    format: TextFormat | None = None


class ResponsesRequest(Incoming):
    """POST /v1/responses: the part that chat clients use."""

    model: str = AUTO
    input: str | Annotated[list[InputMessage], Field(min_length=1, max_length=1000)]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    tools: list[Any] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    background: Annotated[Literal[False], BeforeValidator(boolean)] | None = None
    store: bool | None = None
    text: TextOptions | None = None
    user: str | None = None
    rag: RagOptions = Field(RagOptions(), json_schema_extra=NULLABLE)

    @field_validator("rag", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("tools")
    @classmethod
    def _no_tools(cls, value: list[Any] | None) -> list[Any] | None:
        if value:
            raise ValueError("tools are not offered: answers come from the documents only")
        return value

    @property
    def turns(self) -> list[ChatMessage]:
        """The conversation as messages."""
        if isinstance(self.input, str):
            return [ChatMessage(role="user", content=self.input)]
        return [ChatMessage(role=each.role, content=each.text) for each in self.input]


class EmbeddingsRequest(Incoming):
    """POST /v1/embeddings. `input_type` tells questions from documents, for models that read them apart."""

    model: str = ""
    input: str | Annotated[list[str], Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    input_type: Literal["query", "document"] = "document"
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Model(BaseModel):
    """A name that may stand in `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "permafrost"


class Models(BaseModel):
    """All of them that the caller may use."""

    object: Literal["list"] = "list"
    data: list[Model]


class SearchRequest(BaseModel):
    """POST /v1/search: passages, no generated word."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(min_length=1, max_length=20_000)
    limit: int | None = Field(default=None, ge=1, le=100)
    collection: str | None = None
    filter: str = Field(default="", max_length=1000, description="label:policy language:de date:2023..")


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


class LinesReply(BaseModel):
    """Where the printed lines of some words of a chunk stand; none where the format has no pages."""

    object: Literal["list"] = "list"
    boxes: list[Box]


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
    tier: str
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
    finish: Literal["stop", "length"] = "stop"
    notes: list[str] = []
    unchecked: list[str] = []
    why: str = ""
    warnings: list[str] = []
    conversation: str | None = None
    message: str | None = None

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
            finish=self.finish,
            notes=tuple(self.notes),
            unchecked=tuple(self.unchecked),
            why=self.why,
            model_sha256=self.model_sha256,
            warnings=tuple(self.warnings),
            conversation=self.conversation or "",
            message=self.message or "",
        )


class TokenDetails(BaseModel):
    """Prompt tokens that were not computed again."""

    cached_tokens: int
    approximate_tokens: int


class UsagePart(BaseModel):
    """Token counts in OpenAI's shape."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails


class AnswerMessage(BaseModel):
    """The answer with its markers; JSON that the documents do not back is a refusal."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: dict[str, Any] | None = None
    rag: RagPart | None = None


class ChatCompletion(BaseModel):
    """A whole reply in OpenAI's shape, with ours beside it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str | None = None
    choices: list[ChatChoice]
    usage: UsagePart
    rag: RagPart


class TextChoice(BaseModel):
    """The answer to one prompt."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    rag: RagPart


class TextCompletion(BaseModel):
    """A whole reply of /v1/completions."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsagePart


class ResponsesReply(BaseModel):
    """A whole reply of /v1/responses; `output` holds one message with its annotations."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    model: str
    status: Literal["completed", "incomplete", "in_progress"]
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None
    rag: RagPart


class Embedding(BaseModel):
    """A vector of unit length: numbers, or the base64 of little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens of the texts, as the embedder counts them, its own marks left out."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """One vector per text, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class ErrorDetail(BaseModel):
    """What went wrong, for people, and as a code."""

    message: str
    type: str
    param: str | None = None
    code: str


class ErrorReply(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorDetail


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
        model_sha256=answer.model_sha256 or model_sha256,
        ignored=ignored,
        confidence=answer.confidence,
        cached=answer.cached,
        finish=answer.finish,
        notes=list(answer.notes),
        unchecked=list(answer.unchecked),
        why=answer.why,
        warnings=list(answer.warnings),
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
