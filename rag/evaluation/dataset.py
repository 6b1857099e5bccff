"""The questions of a measurement: a file of JSON lines, and made-up facts that only one passage tells.

One line of `questions.jsonl`: {"question": "…", "answers": ["…"], "passages": [{"title": "…", "text": "…"}],
"hops": 1}. The passages that hold the answer come first; `hops` is 2 where it takes more than one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import Any

from rag.errors import BadRequest

FILE = "questions.jsonl"
FEWEST_PASSAGES = 2  # the first passage of a prompt is never approximate
COLOURS = ("red", "blue", "green", "grey", "white", "brown", "yellow", "black")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One passage: the title it is headed with, and its text."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the answers that count as right, and the passages in front of it, in order.

    `needle`: the position of the passage that tells a made-up fact; None for a question of the file.
    """

    text: str
    answers: tuple[str, ...]
    passages: tuple[Excerpt, ...]
    hops: int = 1
    needle: int | None = None


def read(folder: Path) -> list[Question]:
    """Every question of a folder. Raises BadRequest that names file and line."""
    file = folder / FILE
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}; one JSON object a line is needed") from None
    questions = [
        _parsed(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not questions:
        raise BadRequest(f"{file} holds no question")
    return questions


def chosen(questions: Sequence[Question], count: int, *, passages: int, seed: int) -> list[Question]:
    """At most `count` questions, as many of either number of hops as there are, each with its first
    `passages` passages in an order drawn by `seed`."""
    random = Random(seed)
    groups: dict[int, list[Question]] = {}
    for question in random.sample(questions, len(questions)):
        groups.setdefault(question.hops, []).append(question)
    taken = [question for question in chain(*zip_longest(*groups.values())) if question][:count]
    return [
        replace(question, passages=tuple(random.sample(kept, len(kept))))
        for question in taken
        for kept in [question.passages[:passages]]
    ]


def needles(questions: Sequence[Question], count: int, seed: int) -> Iterator[Question]:
    """For each position `count` questions after a made-up fact, told by the passage at that position."""
    random = Random(seed)
    for number, question in zip(range(count), questions, strict=False):
        colour = COLOURS[number % len(COLOURS)]
        for position, excerpt in enumerate(question.passages):
            code = str(random.randint(1000, 9999))
            told = replace(excerpt, text=f"{excerpt.text} The code of the {colour} cabinet is {code}.")
            passages = (*question.passages[:position], told, *question.passages[position + 1 :])
            yield Question(f"What is the code of the {colour} cabinet?", (code,), passages, needle=position)


def _parsed(line: str, where: str) -> Question:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise BadRequest(f"{where}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequest(f"{where}: {line[:40]!r} is no JSON object")
    answers = fields.get("answers")
    if not isinstance(answers, list) or not answers or not all(map(_is_text, answers)):
        raise BadRequest(f"{where}: answers is {answers!r}; it must be a list of texts")
    if not _is_text(fields.get("question")):
        raise BadRequest(f"{where}: question is {fields.get('question')!r}; it must be a text")
    if fields.get("hops", 1) not in (1, 2):
        raise BadRequest(f"{where}: hops is {fields['hops']!r}; it must be 1 or 2")
    passages = _excerpts(fields.get("passages"), where)
    return Question(fields["question"], tuple(answers), passages, fields.get("hops", 1))


def _excerpts(found: Any, where: str) -> tuple[Excerpt, ...]:
    if not isinstance(found, list) or len(found) < FEWEST_PASSAGES:
        raise BadRequest(f"{where}: passages must be a list of at least {FEWEST_PASSAGES}")
    for one in found:
        if not isinstance(one, dict) or not _is_text(one.get("text")) or not _is_text(one.get("title")):
            raise BadRequest(f"{where}: passage {str(one)[:40]!r} must have the texts title and text")
    return tuple(Excerpt(one["title"], one["text"]) for one in found)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
