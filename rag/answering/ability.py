"""How much is asked of a model: a small one is best at one sentence from what lies nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.settings import AnsweringSettings, TierSettings

# Files of models up to some 400 million parameters, which read two passages better than eight.
SMALL_BYTES = 300_000_000
# What a model says that was told to say so, and how others put it.
UNSAID = re.compile(
    r"^(?:unfortunately,? |sorry,? |i'm sorry,? (?:but )?)?(?:the |these |this |provided |given )*"
    r"(?:passages?|documents?|texts?|context|information)\b[^.]{0,40}?"
    r"\b(?:(?:do|does|did|can)(?: not|n't)|cannot|(?:contains?|provides?|gives?|has|have) no)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ability:
    """What a model is given and asked for.

    `passages`: how many it reads at most, within answering.context_tokens; 0: only those that are quoted.
    `sentences`: how many it may say. `may_decline`: it is told to say when the passages do not answer, and
    believed.
    """

    passages: int = 0
    sentences: int = 1
    may_decline: bool = False


SMALL = Ability()
LARGER = Ability(passages=6, sentences=3, may_decline=True)


def ability_of(size_bytes: int, answering: AnsweringSettings, tier: TierSettings | None = None) -> Ability:
    """What is asked of a model: what its tier says, else the settings of all, else by the size of its file.

    `size_bytes` 0: it runs elsewhere, and nobody sets up a server for a small one.
    """
    usual = SMALL if 0 < size_bytes < SMALL_BYTES else LARGER
    passages = (tier.passages if tier else 0) or answering.passages or usual.passages
    sentences = (tier.sentences if tier else 0) or answering.sentences or usual.sentences
    return Ability(passages, sentences, usual.may_decline)


def declines(sentence: str) -> bool:
    """Whether a model says that the passages do not answer."""
    return bool(UNSAID.match(sentence.strip().lstrip("“\"'")))
