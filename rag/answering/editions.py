"""Which of two documents is the newer edition of the same thing, by what their titles say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.types import Passage

NUMBER = re.compile(r"\d+(?:\.\d+)*")


def outdated(passages: Sequence[Passage], question: str) -> frozenset[str]:
    """Ids of documents that have a newer edition among the passages: "Travel policy 2024" beside "... 2026".

    A question that names a number of such a title asks for that edition, and nothing is outdated then.
    """
    asked = set(NUMBER.findall(question))
    editions: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {}
    for passage in passages:
        name = " ".join(NUMBER.sub(" ", passage.title.lower()).split())
        numbers = NUMBER.findall(passage.title)
        if name and numbers and asked.isdisjoint(numbers):
            order = tuple(tuple(map(int, number.split("."))) for number in numbers)
            editions.setdefault(name, {})[passage.document_id] = order
    return frozenset(
        document
        for numbered in editions.values()
        for document, order in numbered.items()
        if order < max(numbered.values())
    )
