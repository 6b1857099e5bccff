"""Questions about one's own documents, proposed by rules and accepted by a person: review.jsonl in a folder.

Accepted ones are written beside it in BEIR's form, so that the folder is a data set; nothing else is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from random import Random

from rag.assembly import System
from rag.errors import BadRequest
from rag.evaluation.asking import proposals
from rag.evaluation.benchmark import ANSWERS, QRELS, QUERIES
from rag.evaluation.record import write
from rag.types import Document, DocumentState

REVIEW = "review.jsonl"


class Status(StrEnum):
    """What a person said of a question."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Golden:
    """A question about a document, with the sentence that answers it. `rule`: what proposed it."""

    id: str
    question: str
    answer: str
    uri: str
    title: str
    sentence: str
    rule: str
    status: Status = Status.PROPOSED


def propose(system: System, collection: str, count: int, seed: int = 1) -> list[Golden]:
    """At most `count` questions about the live documents of a collection that the principal may read.

    Documents take turns, in an order drawn by `seed`; no question and no sentence comes twice.
    """
    documents = system.catalog.documents(system.principal, collection=collection, state=DocumentState.LIVE)
    random = Random(seed)
    random.shuffle(documents)
    waiting = [questions(system, document, random) for document in documents]
    found: dict[str, Golden] = {}
    sentences: set[str] = set()
    while waiting and len(found) < count:
        for one in list(waiting):
            golden = next(one, None)
            if golden is None:
                waiting.remove(one)
            elif golden.id not in found and golden.sentence not in sentences and len(found) < count:
                found[golden.id] = golden
                sentences.add(golden.sentence)
    return list(found.values())


def questions(system: System, document: Document, random: Random) -> Iterator[Golden]:
    """Every question about one document, in an order that is drawn."""
    made = [
        one
        for chunk in system.catalog.chunks(document.version)
        for one in proposals(chunk.text, document.title)
    ]
    random.shuffle(made)
    for one in made:
        key = hashlib.sha256(f"{document.uri}\0{one.question}".encode()).hexdigest()[:16]
        yield Golden(key, one.question, one.answer, document.uri, document.title, one.sentence, one.rule)


def merged(known: Sequence[Golden], fresh: Iterable[Golden]) -> list[Golden]:
    """What was known, with whatever a person said of it, and behind it what is new."""
    ids = {one.id for one in known}
    return [*known, *(one for one in fresh if one.id not in ids)]


def load(folder: Path) -> list[Golden]:
    """The review file of a folder; nothing if there is none. Raises BadRequest that names a bad line."""
    file = folder / REVIEW
    if not file.exists():
        return []
    found = []
    for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
        if line.strip():
            try:
                fields = json.loads(line)
                found.append(Golden(**{**fields, "status": Status(fields["status"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise BadRequest(
                    f"{file}, line {number}: not a question as make-golden writes it: {error}"
                ) from None
    return found


def save(folder: Path, all_: Sequence[Golden]) -> None:
    """Write the review file, and the accepted questions as a data set. Raises BadRequest."""
    accepted = [one for one in all_ if one.status is Status.ACCEPTED]
    write(folder / REVIEW, lines(asdict(one) for one in all_))
    write(
        folder / QUERIES,
        lines({"_id": one.id, "text": one.question, "metadata": {"type": one.rule}} for one in accepted),
    )
    rows = (f"{one.id}\t{one.uri}\t1\n" for one in accepted)
    write(folder / QRELS, "query-id\tcorpus-id\tscore\n" + "".join(rows))
    write(folder / ANSWERS, lines(answer(one) for one in accepted))


def answer(golden: Golden) -> dict[str, object]:
    """The line of answers.jsonl."""
    return {
        "_id": golden.id,
        "question": golden.question,
        "answers": [golden.answer],
        "answerable": True,
        "gold_ids": [golden.uri],
        "scoring": "em_f1",
    }


def lines(objects: Iterable[object]) -> str:
    """JSON lines."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


def decided(golden: Golden, status: Status, *, question: str = "", answer: str = "") -> Golden:
    """The question after a person looked at it, with whatever was put better."""
    return replace(
        golden, status=status, question=question or golden.question, answer=answer or golden.answer
    )
