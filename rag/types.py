"""The nouns everything else is written in. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Role = Literal["system", "user", "assistant"]
ChunkKind = Literal["text", "list", "table", "code"]

BM25 = "bm25"  # who weighs the terms of the sparse leg, unless a model does


class Right(StrEnum):
    """What somebody may do beside reading the documents of their groups. Roles are sets of these."""

    ASK = "ask"  # search, ask, read documents
    WRITE = "write"  # hand in documents, delete own ones
    CURATE = "curate"  # delete any readable document, review feedback and golden sets
    OPERATE = "operate"  # jobs, budgets, usage of others
    AUDIT = "audit"  # the audit chain, the ledger, the report of models
    ADMIN = "admin"  # keys, groups, tenants


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one tenant, the groups whose documents may be read, and the rights to act.

    `user` is stable over keys and sessions, empty for whoever owns the home. `key`: public id of the API key
    or session that was shown, empty without one. `collections`: the only ones that may be seen; None: all.
    The default is the owner of the home on this machine; requests of others never get a default.
    """

    tenant: str = "default"
    groups: tuple[str, ...] = ("everyone",)
    user: str = ""
    key: str = ""
    rights: frozenset[Right] = frozenset(Right)
    collections: tuple[str, ...] | None = None

    @property
    def readership(self) -> str:
        """The same for all who may read the same documents: what caches are kept apart by."""
        collections = "*" if self.collections is None else "\x1f".join(sorted(self.collections))
        return "\n".join((self.tenant, *sorted(self.groups), collections))

    def may(self, right: Right) -> bool:
        """Whether this is allowed at all; which documents is another question."""
        return right in self.rights

    def may_see(self, collection: str) -> bool:
        """Whether a collection exists for this reader."""
        return self.collections is None or collection in self.collections


class DocumentState(StrEnum):
    """Where a document is on its way. The row is the queue: `pending` means work to do."""

    PENDING = "pending"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    LIVE = "live"
    QUARANTINED = "quarantined"


class JobState(StrEnum):
    """Where a run of ingestion is. Documents of a paused or cancelled one are left alone."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Document:
    """One source document as the catalog knows it. `version` is unique over all documents of a home."""

    id: str
    uri: str
    title: str
    collection: str
    tenant: str
    sha256: str
    version: int
    state: DocumentState
    media_type: str = ""
    size_bytes: int = 0
    groups: tuple[str, ...] = ("everyone",)
    pages: int = 0
    chunks: int = 0
    reason: str = ""
    owner: str = ""
    labels: tuple[str, ...] = ()
    source: str = ""
    parent: str | None = None
    language: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """Where words stand: page from 1, and the edges in points (1/72 inch) from the page's top left corner.

    `start`: of a chunk's box, the character of its text that the words in it begin with.
    """

    page: int
    left: float
    top: float
    right: float
    bottom: float
    start: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document within the embedder's token budget. `id` is a UUID derived from content.

    `boxes`: where its lines stand, if the format has pages. `language`: ISO 639-1, empty if not known.
    `confidence` in [0, 1]: the least that a recogniser (OCR) was sure of; None: it was not recognised.
    `section`: number of the section of the document it belongs to; neighbours with the same number share it.
    """

    id: str
    ordinal: int
    text: str
    kind: ChunkKind = "text"
    heading_path: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    tokens: int = 0
    boxes: tuple[Box, ...] = ()
    language: str = ""
    confidence: float | None = None
    section: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk found for a question, with where it stands and how each leg scored it.

    `score` is the fused score in [0, 1], `dense` a cosine, `sparse` a raw score of terms; None: not in that
    leg. `terms`: who weighed them, "bm25" or a learned model.
    `signals`: what each reason added to the score, by name. `expands`: id of the hit whose neighbour it is.
    """

    chunk: Chunk
    document_id: str
    version: int
    title: str
    uri: str
    score: float
    dense: float | None = None
    sparse: float | None = None
    signals: tuple[tuple[str, float], ...] = ()
    expands: str = ""
    terms: str = BM25


@dataclass(frozen=True, slots=True)
class Citation:
    """The words an answer rests on. `quote` is text[start:end] of the live chunk, to the letter.

    `header` is the header row of the table when the quote is one of its rows. `version` is the document's,
    and `boxes` hold the quote's lines, if the format has pages.
    """

    marker: int
    document_id: str
    title: str
    uri: str
    chunk_id: str
    quote: str
    start: int
    end: int
    page: int | None = None
    section: str = ""
    header: str = ""
    score: float = 0.0
    version: int = 0
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation. `cached_tokens` of the prompt were not computed again; of those,
    `approximate_tokens` came from a passage's KV at another position (never counted as exact)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    approximate_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.approximate_tokens + other.approximate_tokens,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost. `method` says how the figure was obtained; an estimate says so.

    `amount` is fully loaded: with the answer's part of the time nobody asked, at today's `utilisation`;
    `booked` is the machine time it took itself, what ledger and budgets count; `marginal` what would have
    been saved without it. Energy in Wh of the machine, between the two ends of its band; carbon in gCO2e.
    `estimated`: what `booked` was expected to be, as it was last known before the work, with its p95 and the
    most it could be.
    """

    amount: float
    currency: str
    cpu_seconds: float
    method: str
    booked: float = 0.0
    marginal: float = 0.0
    external: float = 0.0
    energy_wh: float = 0.0
    energy_low_wh: float = 0.0
    energy_high_wh: float = 0.0
    co2e_g: float = 0.0
    utilisation: float = 0.0
    constants: str = ""
    estimated: float = 0.0
    estimated_p95: float = 0.0
    estimated_most: float = 0.0


class Outcome(StrEnum):
    """What kind of answer this is."""

    ANSWERED = "answered"  # the model's sentences, each grounded in a cited chunk
    QUOTED = "quoted"  # verbatim sentences of the documents
    COMPUTED = "computed"  # from cells of a table, with the formula
    CLARIFY = "clarify"  # a question back: what was asked can mean several things
    NOT_FOUND = "not_found"  # nothing in the documents supports an answer


class Tier(StrEnum):
    """Who words the answer."""

    EXTRACT = "extract"
    SMALL = "small"


class Profile(StrEnum):
    """How much a wrong answer costs, from the least on."""

    EXPLORATORY = "exploratory"
    STANDARD = "standard"
    HIGH = "high"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader gets, whole. `text` carries [n] markers that point into `citations`.

    `confidence`: the estimated probability that what is shown answers the question; None: not estimated.
    `cached`: "exact" or "semantic" for an answer that was given before, else empty. `finish`: "length" when
    the model's tokens ended before its words. `notes`: what a reader should know beside, such as editions
    that differ. `unchecked`: JSON pointers of values that cannot be read off a text. `why`: why this tier.
    `warnings`: of budgets that are nearly spent, and of what was left out to stay within one.
    `conversation`, `message`: where it is kept, if it was asked in a kept conversation.
    """

    text: str
    outcome: Outcome
    tier: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    usage: Usage
    cost: Cost
    seconds: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    egress: str = "nothing left this machine"
    confidence: float | None = None
    cached: str = ""
    finish: Literal["stop", "length"] = "stop"
    notes: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    why: str = ""
    model_sha256: str = ""
    warnings: tuple[str, ...] = ()
    conversation: str = ""
    message: str = ""
