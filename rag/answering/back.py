"""A question back, when what was asked points at nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rag.retrieval.question import unclear
from rag.types import Passage


def question_back(question: str, passages: Sequence[Passage]) -> str | None:
    """What to ask the reader, with the titles of what was found as help; None when the question is clear."""
    pointer = unclear(question)
    if not pointer:
        return None
    titles = list(dict.fromkeys(passage.title for passage in passages))[:3]
    about = f" Is it about {' or '.join(titles)}?" if titles else ""
    return f'What do you mean by "{pointer}"?{about}'
