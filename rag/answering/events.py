"""What an answer tells while it is made."""

from __future__ import annotations

from dataclasses import dataclass

from rag.engine.generator import Logprob
from rag.types import Answer, Citation, Passage


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found, before anything is worded."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """Some more of the answer: only text that passed the grounding check, or is quoted.

    `citations`: those that its markers name for the first time. `tokens`: what its words were drawn as,
    where their probabilities were asked for.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    tokens: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Final:
    """The answer, whole. Its text is the deltas put together."""

    answer: Answer


Event = Sources | Delta | Final
