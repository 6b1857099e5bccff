"""One request as the engine sees it, and the words the scheduler and the model share about it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rag.engine.generator import SHARED_WITH_NOBODY, Priority, Terms

Ids = NDArray[np.int32]  # tokens by their numbers


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt; `chunk`: a passage, whose KV may serve other prompts."""

    tokens: list[int]
    chunk: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens to compute from position `start` on; `output`: the answer begins with their last logits."""

    start: int
    tokens: list[int]
    output: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """What one sequence computes in one step: `tokens` from position `start` on, in its slot.

    The logits of the last `outputs` tokens are wanted. `alone`: in a call of its own, so that neither what
    others do nor how many they are can change a bit of it.
    """

    slot: int
    start: int
    tokens: Tokens[int]
    outputs: int = 0
    alone: bool = False


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt on its way to an answer. Its KV fills positions 0 to `computed` of its slot.

    `ids` is the prompt as an array. `epoch` names the last removal of a document that who asked knew of.
    `fill` hands out one span after the other and does what lies between them (restoring, keeping and trimming
    KV) when it is resumed; None from it is a pause in which others get their step.
    """

    segments: list[Segment]
    max_tokens: int
    terms: Terms = SHARED_WITH_NOBODY
    slot: int = -1
    computed: int = 0
    cached: int = 0
    approximate: int = 0
    skipped: int = 0
    generated: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    epoch: str = ""
    fill: Iterator[Span | None] = field(default_factory=lambda: iter(()))
    span: Span | None = None
    prompt: list[int] = field(init=False)
    ids: Ids = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = [token for segment in self.segments for token in segment.tokens]
        self.ids = np.asarray(self.prompt, np.int32)

    @property
    def cells(self) -> int:
        """KV cells it may ever need."""
        return len(self.prompt) + self.max_tokens

    @property
    def is_decoding(self) -> bool:
        return bool(self.generated)

    @property
    def is_batch_work(self) -> bool:
        return self.terms.priority is Priority.BATCH

    @property
    def missing(self) -> int:
        """Tokens of the present span that are not computed yet."""
        return self.span.start + len(self.span.tokens) - self.computed if self.span else 0

    def resume(self) -> None:
        """Do what lies behind the span that was just finished, up to the next one or to a pause."""
        self.span = next(self.fill, None)

    def piece(self, limit: int) -> Share:
        """At most `limit` tokens of the present span."""
        assert self.span is not None
        begin = self.computed - self.span.start
        tokens = self.span.tokens[begin : begin + limit]
        is_last = self.span.output and begin + len(tokens) == len(self.span.tokens)
        return Share(self.slot, self.computed, tokens, int(is_last), self.terms.replayable)

    def turn(self) -> Share:
        """Its newest token and the tokens that may follow it."""
        tokens = [self.generated[-1], *self.draft]
        return Share(self.slot, self.computed, tokens, len(tokens), self.terms.replayable)


def common_prefix(left: Ids, right: Ids) -> int:
    """How many tokens two runs begin with in common."""
    length = min(len(left), len(right))
    different = np.flatnonzero(left[:length] != right[:length])
    return int(different[0]) if len(different) else length
