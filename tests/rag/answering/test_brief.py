"""What the model is told fits the budget and keeps the wording."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rag.answering.ability import SMALL
from rag.answering.brief import instructions, marked, messages, pack
from rag.engine.prompt import render
from rag.models.lockfile import entry
from rag.types import Chunk, Passage


class Words:
    """Counts words as tokens."""

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def passage(text: str, title: str = "Handbook") -> Passage:
    return Passage(Chunk(text[:8], 0, text, heading_path=("Rules",)), "d", 1, title, "/h", 1.0)


def packed(passages: Sequence[Passage], budget: int) -> list[str]:
    return asyncio.run(pack(passages, Words(), budget_tokens=budget))  # type: ignore[arg-type]


def test_passages_stand_under_their_headings_alike_in_any_place() -> None:
    texts = packed([passage("Alpha beta."), passage("Alpha beta.")], 100)
    assert texts == ["Handbook > Rules\nAlpha beta.\n\n"] * 2


def test_passages_are_marked_in_the_prompt_and_nothing_is_lost() -> None:
    texts = packed([passage("Alpha beta."), passage("Gamma {question}.")], 100)
    template = entry("smollm2-135m-instruct").template
    assert template is not None
    plain = render(messages("Why?", texts), template)
    pieces = marked(plain, texts)
    assert [piece.text for piece in pieces if piece.chunk] == texts
    assert "".join(piece.text for piece in pieces) == "".join(piece.text for piece in plain)
    assert not any(piece.control and piece.chunk for piece in pieces)


def test_what_does_not_fit_is_left_out() -> None:
    assert len(packed([passage("Alpha beta."), passage("Gamma. " * 50), passage("Delta.")], 15)) == 2


def test_a_first_passage_that_is_too_long_is_cut_after_a_sentence() -> None:
    assert packed([passage("One two three. Four five six. Seven eight nine.")], 11) == [
        "Handbook > Rules\nOne two three. Four five six.\n\n"
    ]


def test_the_system_text_comes_first_and_never_changes() -> None:
    first, second = messages("Why?", ["a\n\n"]), messages("How?", ["b {question}\n\n"])
    assert first[0] == second[0] and first[0].content == instructions(SMALL)
    assert "{question}" in second[1].content and "Question: How?" in second[1].content
