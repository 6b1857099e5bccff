"""Every error a user of Permafrost may meet. Each knows its HTTP status and its OpenAI error code.

RagError
├── BadRequest                  400 the request cannot be served as it is
│   ├── ContextTooLong          400 the prompt does not fit the model's context
│   └── UnknownModel            404 no such model, tier or collection
├── BudgetExceeded              402 it would cost more than a budget or the cap of a query allows
├── Unauthorised                401 the key is missing or wrong
├── Refused                     403 the request comes from a place that is not served
├── Forbidden                   403 the caller may not do this
│   └── EgressDenied            403 policy does not let this leave for an external tier
├── NotFound                    404 no such document
├── AlreadyExists               409 something of that name is there already
├── IdempotencyInProgress       409 a request with this Idempotency-Key is still being answered
├── IdempotencyMismatch         422 this Idempotency-Key was used for another body
├── PayloadTooLarge             413 the body is larger than the limit
├── QuotaExceeded               403 the tenant has no room for more documents
├── SettingsError               500 rag.toml, ingest.toml or a RAG_ variable is wrong
├── BackupError                 500 a backup is none, unfinished, altered or newer than this program
├── ModelError                  500 a model file is missing, changed or cannot run here
│   ├── ModelMismatch           500 the file is not the one that models.lock pins
│   └── DecodeError             500 llama.cpp refused or failed a batch
├── IndexUnavailable               503 the index does not match the catalog, or cannot be opened
│   └── DiskFull                507 too little free space to write safely
├── ParseError                  422 a document cannot be read; the reason says why
│   ├── NeedsPassword           422 the document is encrypted
│   ├── NoText                  422 the document holds no text (scanned, or empty)
│   ├── Damaged                 422 the bytes are not what the format asks for
│   ├── Unsupported             422 no parser for this type
│   └── LimitExceeded           422 reading it went past a limit of memory, time or size
├── SourceError                 502 a source of documents cannot be reached, or refuses us
├── PriceUnavailable            503 the price of an outside model is missing or too old
├── ProviderUnavailable         503 the provider of sign-ins cannot be reached, or says what we cannot read
├── Overloaded                  429 the queue is full; try again
├── RateLimited                 429 more requests or tokens than the limit of a minute; try again
├── Busy                        503 as many requests are under way as the server takes
├── Cancelled                   499 the caller went away
└── WorkerError                 503 a supervised child failed
    ├── WorkerDied              503 it died while it worked for this call
    ├── WorkerTimeout           504 it did not answer by the deadline
    ├── AnswerBroken            502 a streamed answer ended before it was whole
    └── WorkerUnavailable       503 it died too often and is switched off for a while
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rag.types import Passage


class RagError(Exception):
    """The root. Catch it to catch everything that Permafrost raises on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    @property
    def message(self) -> str:
        return str(self)


class BadRequest(RagError):
    """The request cannot be served as it is."""

    status = 400
    code = "invalid_request"


class ContextTooLong(BadRequest):
    """The prompt and the tokens asked for do not fit the model's context."""

    code = "context_length_exceeded"


class UnknownModel(BadRequest):
    """No model, tier or collection of that name."""

    status = 404
    code = "model_not_found"


class BudgetExceeded(RagError):
    """The request would cost more than a budget, or the cap of a query, allows.

    `reason`: cost_cap_exceeded, or queue when it may be tried again once its budget starts anew.
    """

    status = 402
    code = "cost_cap_exceeded"

    def __init__(self, message: str, *, reason: str = "cost_cap_exceeded") -> None:
        super().__init__(message)
        self.reason = reason


class Unauthorised(RagError):
    """The bearer key is missing or wrong."""

    status = 401
    code = "invalid_api_key"


class Refused(RagError):
    """The request comes from a page or through a host name that this server does not serve."""

    status = 403
    code = "origin_refused"


class Forbidden(RagError):
    """The caller may not do this; somebody with another role may."""

    status = 403
    code = "permission_denied"


class EgressDenied(Forbidden):
    """Policy does not let this question, or a passage that it needs, leave for an external tier."""

    code = "egress_denied"


class NotFound(RagError):
    """No document of that id or path."""

    status = 404
    code = "not_found"


class AlreadyExists(RagError):
    """Something of that name is there already."""

    status = 409
    code = "already_exists"


class IdempotencyInProgress(RagError):
    """A request with the same Idempotency-Key is being answered right now."""

    status = 409
    code = "idempotency_in_progress"


class IdempotencyMismatch(RagError):
    """The Idempotency-Key was used before, with another body."""

    status = 422
    code = "idempotency_mismatch"


class PayloadTooLarge(RagError):
    """The body is larger than the limit."""

    status = 413
    code = "payload_too_large"


class SettingsError(RagError):
    """rag.toml, ingest.toml or a RAG_ variable holds a value that cannot be used."""

    code = "settings_error"


class BackupError(RagError):
    """A backup is none, was interrupted, is damaged or altered, or newer than this program."""

    code = "backup_error"


class ModelError(RagError):
    """A model file is missing or cannot run on this machine."""

    code = "model_error"


class ModelMismatch(ModelError):
    """A model file is not the one that models.lock pins."""

    code = "model_mismatch"


class DecodeError(ModelError):
    """llama.cpp refused or failed a batch."""

    code = "decode_failed"


class IndexUnavailable(RagError):
    """The vector index cannot be opened, or does not hold what the catalog says."""

    status = 503
    code = "index_unavailable"


class DiskFull(IndexUnavailable):
    """Too little free space to write safely."""

    status = 507
    code = "disk_full"


class ParseError(RagError):
    """A document cannot be read. Its message is the reason shown beside the quarantined document."""

    status = 422
    code = "unreadable_document"


class NeedsPassword(ParseError):
    """The document is encrypted."""

    code = "needs_password"


class NoText(ParseError):
    """The document holds no text: it is empty, or a scan without a text layer."""

    code = "no_text"


class Damaged(ParseError):
    """The bytes are not what the format asks for."""

    code = "damaged"


class Unsupported(ParseError):
    """No parser reads this type."""

    code = "unsupported_type"


class LimitExceeded(ParseError):
    """Reading the document went past a limit of memory, time or size."""

    code = "limit_exceeded"


class SourceError(RagError):
    """A source of documents cannot be reached, refuses our key, or answers with what we cannot read."""

    status = 502
    code = "source_failed"


class PriceUnavailable(RagError):
    """The price of an outside model is missing or too old to be relied on."""

    status = 503
    code = "price_unavailable"


class Overloaded(RagError):
    """The queue is full."""

    status = 429
    code = "overloaded"


class ProviderUnavailable(RagError):
    """The OpenID provider cannot be reached, or says what we cannot read."""

    status = 503
    code = "sign_in_unavailable"


class RateLimited(RagError):
    """More requests or prompt tokens than the limit of a minute allows. The reply says when to come back."""

    status = 429
    code = "rate_limit_exceeded"


class QuotaExceeded(RagError):
    """The tenant holds as many documents, or bytes of them, as it may."""

    status = 403
    code = "quota_exceeded"


class Busy(RagError):
    """As many requests are under way as the server takes; try again."""

    status = 503
    code = "server_busy"


class Cancelled(RagError):
    """The caller went away before the answer was whole."""

    status = 499
    code = "cancelled"


class WorkerError(RagError):
    """A supervised child failed."""

    status = 503
    code = "worker_error"


class WorkerDied(WorkerError):
    """The child died while it worked for this call."""

    code = "worker_died"


class WorkerTimeout(WorkerError):
    """The child did not answer by the deadline."""

    status = 504
    code = "worker_timeout"


class AnswerBroken(WorkerError):
    """A streamed answer ended before it was whole. `text` and `passages`: what of it had arrived by then."""

    status = 502
    code = "answer_broken"

    def __init__(self, message: str, *, text: str = "", passages: Sequence[Passage] = ()) -> None:
        super().__init__(message)
        self.text, self.passages = text, tuple(passages)


class WorkerUnavailable(WorkerError):
    """The child died too often in a short time and is switched off for a while."""

    code = "worker_unavailable"


def to_wire(error: BaseException) -> dict[str, Any]:
    """An error as it crosses a pipe; anything that is not ours becomes a WorkerError with its type named."""
    if isinstance(error, RagError):
        return {"type": type(error).__name__, "message": str(error)}
    return {"type": "WorkerError", "message": f"{type(error).__name__}: {error}"}


def from_wire(fields: dict[str, Any]) -> RagError:
    """The error that `to_wire` wrote."""
    return by_name().get(str(fields.get("type")), WorkerError)(str(fields.get("message", "")))


def by_name() -> dict[str, type[RagError]]:
    """Every error class by its name."""
    found: dict[str, type[RagError]] = {}
    todo: list[type[RagError]] = [RagError]
    while todo:
        error = todo.pop()
        found[error.__name__] = error
        todo += error.__subclasses__()
    return found
