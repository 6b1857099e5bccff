"""Answers as JSON: every value must stand in a passage, or it is no answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rag.answering.citations import Citations
from rag.answering.facts import quantities
from rag.answering.sentences import Sentence, sentences
from rag.answering.words import WORD
from rag.language import MARKS, UNSPACED
from rag.types import Passage

# With the marks over, under and behind it; figures and Latin letters stay together.
CHARACTER = re.compile(rf"[0-9a-z]+|.[{MARKS}]*")


@dataclass(frozen=True, slots=True)
class Backing:
    """How far passages hold the values of a JSON text, each named by its JSON pointer.

    `missing`: stands nowhere. `unchecked`: cannot be read off a text: true, false, null, a choice of the
    schema.
    """

    missing: tuple[str, ...]
    unchecked: tuple[str, ...]


def backing(text: str, schema: str, passages: Sequence[Passage], citations: Citations) -> Backing:
    """Look every value up and cite where it stands. A text that is not whole JSON misses everything."""
    try:
        root = json.loads(text)
    except ValueError:
        return Backing(("/",), ())
    choices = set(named(json.loads(schema)))
    missing: list[str] = []
    unchecked: list[str] = []
    for pointer, value in values(root):
        if value is None or isinstance(value, bool):
            unchecked.append(pointer)
        elif place := found(value, passages):
            if citations.add(*place, score=1.0) is None:
                unchecked.append(pointer)
        else:
            (unchecked if value in choices else missing).append(pointer)
    return Backing(tuple(missing), tuple(unchecked))


def values(root: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """The values that are no containers, with their JSON pointers (RFC 6901)."""
    if isinstance(root, dict):
        for name, value in root.items():
            yield from values(value, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(root, list):
        for number, value in enumerate(root):
            yield from values(value, f"{pointer}/{number}")
    else:
        yield pointer or "/", root


def named(schema: Any) -> Iterator[Any]:
    """The values that a schema itself offers."""
    if isinstance(schema, dict):
        yield from (each for each in schema.get("enum", ()) if isinstance(each, str | int | float))
        if isinstance(schema.get("const"), str | int | float):
            yield schema["const"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from named(each)


def found(value: str | float, passages: Sequence[Passage]) -> tuple[Passage, Sentence] | None:
    """The sentence that holds a value: a number as a number, words as the same words in a row."""
    for passage in passages:
        for sentence in sentences(passage.chunk.text):
            if isinstance(value, str) and within(value, sentence.text):
                return passage, sentence
            if not isinstance(value, str) and counted(Decimal(str(value)), sentence.text):
                return passage, sentence
    return None


def within(words: str, text: str) -> bool:
    """Whether a text says these words, whole and in a row."""
    wanted, said = (" ".join(parted(each)) for each in (words, text))
    return bool(wanted) and f" {wanted} " in f" {said} "


def parted(text: str) -> list[str]:
    """The words of a text; where there are no spaces between them, its characters."""
    return [
        part
        for word in WORD.findall(text.casefold())
        for part in (CHARACTER.findall(word) if UNSPACED.search(word) else [word])
    ]


def counted(number: Decimal, text: str) -> bool:
    """Whether a text names this number, dates included."""
    return any(number in each.values for each in quantities(text, with_dates=True))
