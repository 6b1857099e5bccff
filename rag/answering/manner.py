"""What a caller may wish about how an answer is worded; what is not wished is as the settings say."""

from __future__ import annotations

from dataclasses import dataclass

from rag.engine.generator import Priority, Reuse, Sampling, Terms
from rag.settings import AnsweringSettings
from rag.types import Principal

STOPS = ("\n\n", "\nQuestion")


@dataclass(frozen=True, slots=True)
class Manner:
    """Wishes of one request; the fields that Sampling and Terms have too mean the same as there.

    `max_tokens` 0: as set. `schema`: the answer is JSON of this JSON Schema (as text), or no answer. `reuse`
    can only be stricter than what the model's quality gate allows.
    """

    max_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    schema: str = ""
    verbatim: bool | None = None
    reuse: Reuse = Reuse.APPROXIMATE
    replayable: bool = False
    priority: Priority = Priority.INTERACTIVE

    def sampling(self, settings: AnsweringSettings) -> Sampling:
        """How the engine draws tokens. JSON ends where its grammar ends, so blank lines do not end it."""
        verbatim = settings.verbatim if self.verbatim is None else self.verbatim
        return Sampling(
            max_tokens=self.max_tokens or settings.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=self.stop if self.schema else (*STOPS, *self.stop),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=self.logit_bias,
            logprobs=self.logprobs,
            json_schema=self.schema,
            verbatim=verbatim and not self.schema,
        )

    def terms(self, principal: Principal) -> Terms:
        """How the engine serves it. Cached KV is shared only among those who may read the same documents."""
        return Terms(
            namespace=principal.readership,
            user=principal.user or principal.key,
            priority=self.priority,
            reuse=self.reuse,
            replayable=self.replayable,
        )


AS_SET = Manner()
