"""What a reader is told without a model, in the language of the question: rag/prompts/replies.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache

from rag.answering.brief import PROMPTS, put_in
from rag.language import spoken
from rag.types import Passage


def refusal(question: str, passages: Sequence[Passage]) -> str:
    """The honest answer when the documents hold none, naming what came nearest."""
    titles = nearest(passages)
    return reply("not_found", question, titles=titles) if titles else reply("nothing_near", question)


def nearest(passages: Sequence[Passage]) -> str:
    """The titles of the best passages, for a reader to choose from."""
    return "; ".join(list(dict.fromkeys(passage.title for passage in passages if passage.title))[:3])


def reply(name: str, question: str, **values: str) -> str:
    """One of replies.toml in the language of the question."""
    texts = replies()[name]
    return put_in(texts[spoken(question, list(texts))], values)


@cache
def replies() -> dict[str, dict[str, str]]:
    """What is said without a model: by name, then by language, English first."""
    return tomllib.loads((PROMPTS / "replies.toml").read_text("utf-8"))
