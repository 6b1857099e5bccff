"""One request as the engine sees it, and the words the scheduler and the model share about it."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Share:
    """What one sequence computes in one step: `tokens` from position `start` on, in its slot.

    `output`: the logits after the last token are wanted.
    """

    slot: int
    start: int
    tokens: Tokens[int]
    output: bool


@dataclass(frozen=True, slots=True)
class Trim:
    """Forget what a slot holds from position `keep` on."""

    slot: int
    keep: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Let `target` share the first `length` positions of `source`; no KV is copied."""

    source: int
    target: int
    length: int


Move = Trim | Copy


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt on its way to an answer. What is `computed` lies in the KV cells of its slot.

    Only sequences of one `namespace` may reuse each other's KV; None: nothing is reused and nothing is kept.
    """

    prompt: list[int]
    max_tokens: int
    namespace: str | None = None
    slot: int = -1
    computed: int = 0
    cached: int = 0
    generated: list[int] = field(default_factory=list)

    @property
    def cells(self) -> int:
        """KV cells it may ever need."""
        return len(self.prompt) + self.max_tokens

    @property
    def known(self) -> list[int]:
        """Prompt and answer so far."""
        return self.prompt + self.generated

    @property
    def is_decoding(self) -> bool:
        return bool(self.generated)

    @property
    def missing(self) -> int:
        """Tokens known and not yet computed."""
        return len(self.prompt) + len(self.generated) - self.computed

    def share(self, limit: int) -> Share:
        """Its next step of at most `limit` tokens."""
        end = self.computed + min(limit, self.missing)
        # A decoding sequence lacks its newest token only; the whole list is not built for that.
        tokens = (
            self.generated[-1:] if self.is_decoding and self.missing == 1 else self.known[self.computed : end]
        )
        return Share(self.slot, self.computed, tokens, end - self.computed == self.missing)
