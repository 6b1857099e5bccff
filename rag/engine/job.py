"""One request on its way: what came in, made ready for the engine, and what it has said so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.child import Request
from rag.engine.chances import chances
from rag.engine.generator import Finished, Logprob, Priority, Reuse, Sampling, Terms
from rag.engine.grammar import Grammar
from rag.engine.model import Model
from rag.engine.sampling import Constraint, Sampler, check
from rag.engine.schema import gbnf_of
from rag.engine.sequence import Segment, Sequence
from rag.engine.speculation import Lookup
from rag.engine.transcript import Transcript
from rag.engine.verbatim import Verbatim
from rag.errors import ContextTooLong
from rag.types import Usage

Logits = NDArray[np.float32]
Part = tuple[str | list[int], bool, bool]  # text or tokens, whether it is the template's, whether a passage


@dataclass(eq=False, slots=True)
class Job:
    """One request and its state."""

    request: Request
    sequence: Sequence
    sampling: Sampling
    sampler: Sampler
    transcript: Transcript
    lookup: Lookup | None
    cpu_s: float = 0.0
    slot_s: float = 0.0
    prefill_slot_s: float = 0.0
    steps: int = 0
    company: int = 0  # sequences in those steps, itself included
    arrived: float = field(default_factory=time.monotonic)
    started: float = 0.0
    first_token: float = 0.0
    drafted: int = 0
    accepted: int = 0
    reason: Literal["stop", "length"] | None = None
    _text: str = ""
    _chances: list[Logprob] = field(default_factory=list)

    def take(self, model: Model, rows: list[Logits]) -> int:
        """Draw tokens from rows of logits as long as each is what was guessed; how many guesses were
        right."""
        draft, right = self.sequence.draft, 0
        for at, row in enumerate(rows):
            token = self.sampler.draw(row, self.sequence.generated)
            self._say(model, row, token)
            if self.reason or at >= len(draft) or draft[at] != token:
                break
            right += 1
        if draft:
            self.drafted += len(draft)
            self.accepted += right
            assert self.lookup is not None
            self.lookup.learn(len(draft), right)
        self.first_token = self.first_token or time.monotonic()
        return right

    def news(self) -> dict[str, Any] | None:
        """What was drawn since the last time, as an event; None if there is nothing to show."""
        if not self._text and not self._chances:
            return None
        event: dict[str, Any] = {"text": self._text}
        if self._chances:
            event["logprobs"] = [
                {"text": one.text, "token": one.token, "logprob": one.logprob, "top": one.top}
                for one in self._chances
            ]
        self._text, self._chances = "", []
        return event

    def bill(self) -> Finished:
        """What it took. `reason` must be known."""
        assert self.reason is not None
        sequence = self.sequence
        usage = Usage(len(sequence.prompt), len(sequence.generated), sequence.cached, sequence.approximate)
        return Finished(
            reason=self.reason,
            usage=usage,
            prefill_s=self.first_token - self.started,
            decode_s=time.monotonic() - self.first_token,
            cpu_s=self.cpu_s,
            drafted=self.drafted,
            accepted=self.accepted,
            slot_s=self.slot_s,
            prefill_slot_s=self.prefill_slot_s,
            queue_s=self.started - self.arrived,
            batch=self.company / self.steps if self.steps else 0.0,
        )

    def _say(self, model: Model, row: Logits, token: int) -> None:
        if model.ends(token):
            self.reason = "stop"
            self._text += self.transcript.finish()
            return
        if self.sampling.logprobs is not None:
            self._chances.append(chances(row, token, self.sampling.logprobs, model.text))
        self.sequence.generated.append(token)
        self._text += self.transcript.push(model.piece(token))
        if self.transcript.stopped:
            self.reason = "stop"
        elif len(self.sequence.generated) >= self.sampling.max_tokens:
            self.reason = "length"
            self._text += self.transcript.finish()


def prepared(
    request: Request,
    model: Model,
    *,
    prompt: list[Part],
    sampling: dict[str, Any],
    terms: dict[str, Any],
    most_reuse: Reuse = Reuse.APPROXIMATE,
    least_repair: int = 0,
) -> Job:
    """A request made ready. Raises BadRequest or ContextTooLong, before anything is computed."""
    pairs = tuple((token, bias) for token, bias in sampling.pop("logit_bias", ()))
    options = Sampling(**{**sampling, "stop": tuple(sampling.get("stop", ())), "logit_bias": pairs})
    check(options)
    refuse_a_book(prompt, model)
    pieces = segments(prompt, model)
    passages = [segment.tokens for segment in pieces if segment.chunk]
    asked = allowed(terms, most_reuse, least_repair)
    return Job(
        request=request,
        sequence=Sequence(pieces, options.max_tokens, asked),
        sampling=options,
        sampler=Sampler(options, constraint(options, passages, model)),
        transcript=Transcript(options.stop),
        lookup=Lookup(passages) if passages and not asked.replayable else None,
    )


def allowed(terms: dict[str, Any], most_reuse: Reuse, least_repair: int) -> Terms:
    """The terms that were asked for, as far as this model's KV may be reused."""
    kinds: dict[str, Any] = {
        "priority": Priority(terms.get("priority", Priority.INTERACTIVE)),
        "reuse": min(Reuse(terms.get("reuse", Reuse.EXACT)), most_reuse, key=list(Reuse).index),
        "repair": max(terms.get("repair", 0), least_repair),
    }
    return Terms(**{**terms, **kinds})


def refuse_a_book(prompt: list[Part], model: Model) -> None:
    """Raise ContextTooLong for a text that cannot fit, without cutting it into tokens first."""
    fewest = sum(len(text) for text, _, _ in prompt) // model.longest_piece
    if fewest > model.context:
        raise ContextTooLong(
            f"the prompt has at least {fewest} tokens, the context holds {model.context}; shorten it"
        )


def segments(prompt: list[Part], model: Model) -> list[Segment]:
    """Tokens of a prompt: every passage for itself, what stands between passages joined."""
    found: list[Segment] = []
    for text, control, chunk in prompt:
        tokens = model.tokens(text, control=control) if isinstance(text, str) else list(text)
        if found and not chunk and not found[-1].chunk:
            found[-1].tokens.extend(tokens)
        elif tokens:
            found.append(Segment(tokens, chunk))
    return found


def constraint(sampling: Sampling, passages: list[list[int]], model: Model) -> Constraint | None:
    """What holds the answer to a form, if anything was asked."""
    if sampling.verbatim:
        return Verbatim(passages, model.endings, model.pieces, model.vocabulary)
    text = sampling.grammar or (gbnf_of(sampling.json_schema) if sampling.json_schema else "")
    return Grammar(model.vocab, text, model.vocabulary, barred=model.barred) if text else None
