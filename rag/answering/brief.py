"""What the model is told: the wording of rag/prompts around as many passages as the budget holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from rag.answering.ability import SMALL, Ability
from rag.answering.sentences import sentences
from rag.engine.generator import Generator
from rag.engine.prompt import Piece
from rag.types import Message, Passage

PROMPTS = Path(__file__).parents[1] / "prompts"


@cache
def wording(name: str) -> str:
    """One text of rag/prompts, without its last line break."""
    return (PROMPTS / f"{name}.txt").read_text("utf-8").removesuffix("\n")


def filled(name: str, **values: str) -> str:
    """A wording with its {names} replaced."""
    return put_in(wording(name), values)


def put_in(text: str, values: Mapping[str, str]) -> str:
    """A text with its {names} replaced; braces inside the values stay as they are."""
    parts = text.split("{")
    return parts[0] + "".join(
        values[part[: part.index("}")]] + part[part.index("}") + 1 :] for part in parts[1:]
    )


async def pack(passages: Sequence[Passage], generator: Generator, *, budget_tokens: int) -> list[str]:
    """The text of the best passages that fit: whole, but for a first one that is too long alone."""
    return (await counted("", passages, generator, budget_tokens=budget_tokens))[0]


async def counted(
    question: str, passages: Sequence[Passage], generator: Generator, *, budget_tokens: int
) -> tuple[list[str], int]:
    """The same, and the tokens of it all with the question; a text cut short counts as all that was left."""
    texts = [headed(passage, passage.chunk.text) for passage in passages]
    asked, *counts = await generator.count([question, *texts])
    packed: list[str] = []
    left = budget_tokens
    for passage, text, tokens in zip(passages, texts, counts, strict=True):
        if tokens <= left:
            packed.append(text)
            left -= tokens
        elif not packed:
            return [await shortened(passage, generator, left)], asked + budget_tokens
    return packed, asked + budget_tokens - left


def worth_warming(passages: Sequence[Passage], *, budget_tokens: int) -> list[str]:
    """The passages that the model may read in a later prompt, as it would read them there.

    All that were found: the engine knows which it keeps already, so those of this prompt cost nothing.
    One that no prompt can hold whole is left out, as far as the index counted its tokens.
    """
    return [headed(one, one.chunk.text) for one in passages if one.chunk.tokens <= budget_tokens]


async def shortened(passage: Passage, generator: Generator, budget_tokens: int) -> str:
    """As many of a passage's first sentences as fit."""
    text = passage.chunk.text
    cuts = [headed(passage, text[: sentence.end]) for sentence in sentences(text)]
    counts = await generator.count(cuts)
    fitting = [cut for cut, tokens in zip(cuts, counts, strict=True) if tokens <= budget_tokens]
    return fitting[-1] if fitting else cuts[0][: budget_tokens * 2]


def headed(passage: Passage, text: str) -> str:
    """A passage as the model reads it: the same text wherever it stands, so that its KV can be used again."""
    heading = " > ".join(dict.fromkeys((passage.title, *passage.chunk.heading_path)))
    return filled("passage", heading=heading, text=text) + "\n\n"


def messages(question: str, packed: Sequence[str], ability: Ability = SMALL) -> list[Message]:
    """The conversation to render. The system text of a model never changes, so its KV is computed once."""
    length = "one sentence" if ability.sentences == 1 else f"at most {ability.sentences} sentences"
    told = filled("question", passages="".join(packed), question=question, length=length)
    return [Message("system", instructions(ability)), Message("user", told)]


def instructions(ability: Ability) -> str:
    """The system text for a model."""
    length = (
        "one short sentence" if ability.sentences == 1 else f"at most {ability.sentences} short sentences"
    )
    otherwise = filled("otherwise", unsaid=wording("unsaid")) if ability.may_decline else ""
    return filled("system", length=length, otherwise=otherwise)


def marked(pieces: Sequence[Piece], packed: Sequence[str]) -> list[Piece]:
    """The pieces of a prompt with every passage in a piece of its own."""
    found, rest = [], list(packed)
    for piece in pieces:
        text = piece.text
        while not piece.control and rest and (at := text.find(rest[0])) >= 0:
            found += [Piece(text[:at], False)] if at else []
            found.append(Piece(rest[0], False, chunk=True))
            text = text[at + len(rest.pop(0)) :]
        found += [Piece(text, piece.control)] if text else []
    return found
