"""A data set in BEIR's form (Thakur et al. 2021, arXiv 2104.08663), with answers beside it.

corpus.jsonl   {"_id", "title", "text"}; not needed where documents of a collection are asked about
queries.jsonl  {"_id", "text", "metadata": {"history"?: [{"role", "text"}], "lang"?, "type"?}}
qrels.tsv      a header, then query-id <TAB> corpus-id <TAB> grade
answers.jsonl  {"_id", "answers": [...], "answerable", "scoring"?, "scale"?, "gold_ids"?}
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from rag.errors import BadRequest
from rag.types import Message

CORPUS, QUERIES, QRELS, ANSWERS = FILES = ("corpus.jsonl", "queries.jsonl", "qrels.tsv", "answers.jsonl")
Scoring = Literal["em_f1", "f1_contains", "contains", "numeric", "list_f1", "long", "abstain"]


@dataclass(frozen=True, slots=True)
class Row:
    """One passage of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A question, the grade of every row that answers it, and the answers that count as right.

    `answerable` is False where the right answer is that the documents do not say. `scale` ("million",
    "percent") belongs to a numeric answer.
    """

    id: str
    question: str
    relevant: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    answerable: bool = True
    scoring: Scoring = "em_f1"
    scale: str = ""
    history: tuple[Message, ...] = ()
    language: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A data set as it was read. `sha256` is that of all its files."""

    name: str
    rows: tuple[Row, ...]
    items: tuple[Item, ...]
    sha256: str

    def chosen(self, limit: int | None, seed: int) -> Benchmark:
        """At most `limit` of its questions, drawn with a seed, in the order of the file."""
        if limit is None or limit >= len(self.items):
            return self
        kept = sorted(Random(seed).sample(range(len(self.items)), limit))
        return replace(self, items=tuple(self.items[n] for n in kept))


def read_benchmark(folder: Path) -> Benchmark:
    """The data set in a folder. Raises BadRequest that names the file and the line."""
    relevant = _relevant(folder / QRELS)
    answers = {str(fields["_id"]): fields for _, fields in _lines(folder / ANSWERS, needed=False)}
    items = tuple(
        _item(fields, relevant, answers, where) for where, fields in _lines(folder / QUERIES, needed=True)
    )
    if not items:
        raise BadRequest(f"{folder / QUERIES} holds no question")
    rows = tuple(
        Row(str(fields["_id"]), _text(fields, "title", where, empty=True), _text(fields, "text", where))
        for where, fields in _lines(folder / CORPUS, needed=False)
    )
    known = {row.id for row in rows}
    if rows and (lost := sorted({each for item in items for each in item.relevant} - known)):
        raise BadRequest(f"{folder / QRELS} names {lost[0]!r}, which is not in {CORPUS}")
    return Benchmark(folder.resolve().name, rows, items, digest(folder))


def digest(folder: Path) -> str:
    """One digest of the files of a data set that are there."""
    whole = hashlib.sha256()
    for name in FILES:
        if (file := folder / name).exists():
            whole.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _item(
    fields: dict[str, Any],
    relevant: Mapping[str, dict[str, int]],
    answers: Mapping[str, dict[str, Any]],
    where: str,
) -> Item:
    key, about = str(fields["_id"]), fields.get("metadata") or {}
    answer: Mapping[str, Any] = answers.get(key, {})
    scoring: Scoring = answer.get("scoring") or "em_f1"
    if scoring not in get_args(Scoring):
        raise BadRequest(f"{where}: scoring is {scoring!r}; have {', '.join(get_args(Scoring))}")
    graded = relevant.get(key) or {str(each): 1 for each in answer.get("gold_ids") or ()}
    turns = about.get("history") or ()
    return Item(
        id=key,
        question=_text(fields, "text", where),
        relevant=graded,
        answers=tuple(map(str, answer.get("answers") or ())),
        answerable=bool(answer.get("answerable", about.get("answerable", True))),
        scoring=scoring,
        scale=str(answer.get("scale") or ""),
        history=tuple(
            Message("assistant" if turn.get("role") in ("assistant", "agent") else "user", turn["text"])
            for turn in turns
        ),
        language=str(about.get("lang") or ""),
        kind=str(answer.get("answer_type") or about.get("type") or ""),
    )


def _relevant(file: Path) -> dict[str, dict[str, int]]:
    if not file.exists():
        return {}
    found: dict[str, dict[str, int]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if number == 1 or not row:
                continue
            try:
                query, passage, grade = row[0], row[1], int(row[2])
            except (IndexError, ValueError):
                raise BadRequest(
                    f"{file}, line {number}: {row!r} is not query-id, corpus-id and grade between tabs"
                ) from None
            if grade > 0:
                found.setdefault(query, {})[passage] = grade
    return found


def _lines(file: Path, *, needed: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with where it stands."""
    if not file.exists() and not needed:
        return
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}; one JSON object a line is needed") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise BadRequest(f"{where}: not JSON: {error}") from None
        if not isinstance(fields, dict) or "_id" not in fields:
            raise BadRequest(f"{where}: no JSON object with an _id")
        yield where, fields


def _text(fields: Mapping[str, Any], name: str, where: str, *, empty: bool = False) -> str:
    value = fields.get(name, "" if empty else None)
    if not isinstance(value, str) or not (empty or value.strip()):
        raise BadRequest(f"{where}: {name} is {value!r}; it must be a text")
    return value
