"""A question back, when what was asked points at nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rag.answering.replies import nearest, reply
from rag.retrieval.question import unclear
from rag.types import Passage


def question_back(question: str, passages: Sequence[Passage]) -> str | None:
    """What to ask the reader, with the titles of what was found as help; None when the question is clear."""
    pointer = unclear(question)
    if not pointer:
        return None
    asked = reply("unclear", question, pointer=pointer)
    titles = nearest(passages)
    return f"{asked} {reply('perhaps', question, titles=titles)}" if titles else asked
