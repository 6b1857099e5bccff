"""What the model is told fits the budget and keeps the wording."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rag.answering.brief import messages, pack, refusal, wording
from rag.types import Chunk, Passage


class Words:
    """Counts words as tokens."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def passage(text: str, title: str = "Handbook") -> Passage:
    return Passage(Chunk(text[:8], 0, text, heading_path=("Rules",)), "d", 1, title, "/h", 1.0)


def packed(passages: Sequence[Passage], budget: int) -> list[str]:
    return asyncio.run(pack(passages, Words(), budget_tokens=budget))  # type: ignore[arg-type]


def test_passages_are_numbered_under_their_headings() -> None:
    assert packed([passage("Alpha beta.")], 100) == ["[1] Handbook > Rules\nAlpha beta."]


def test_what_does_not_fit_is_left_out() -> None:
    assert len(packed([passage("Alpha beta."), passage("Gamma. " * 50), passage("Delta.")], 15)) == 2


def test_a_first_passage_that_is_too_long_is_cut_after_a_sentence() -> None:
    assert packed([passage("One two three. Four five six. Seven eight nine.")], 11) == [
        "[1] Handbook > Rules\nOne two three. Four five six."
    ]


def test_the_system_text_comes_first_and_never_changes() -> None:
    first, second = messages("Why?", ["[1] a"]), messages("How?", ["[1] b {question}"])
    assert first[0] == second[0] and first[0].content == wording("system")
    assert "{question}" in second[1].content and "Question: How?" in second[1].content


def test_a_refusal_names_the_nearest_documents_once() -> None:
    assert refusal([passage("a", "Leave"), passage("b", "Leave"), passage("c", "Travel")]).endswith(
        "Leave; Travel."
    )
    assert "Nearest" not in refusal([])
