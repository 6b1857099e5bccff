"""How often answers are right and declined in languages that the embedder was not trained for.

Each question of xquad is asked twice: once with the paragraph that answers it, once with that paragraph left
out in every language. The peer trusts the embedder's cosines in every language.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answers import Asked, Question, ask, chunk_id, feed
from question_sets import QA, rows_of
from report import Row, write

from rag.assembly import System, open_system
from rag.evaluation.statistics import auc
from rag.settings import Settings
from rag.types import Tier

XQUAD = QA / "xquad_multilingual"


@dataclass(frozen=True)
class Pair:
    """A question asked with its paragraph or without it: as the product answers, and as the peer does."""

    language: str
    ours: Asked
    peer: Asked


def paragraph(row_id: str) -> str:
    """Which paragraph an id names, whatever the language: xq-de-3-1 and xq-en-3-1 are one."""
    return row_id.split("-", 2)[2]


def half(row_id: str) -> int:
    return hashlib.sha256(paragraph(row_id).encode()).digest()[-1] % 2


async def both(system: System, question: Question, language: str) -> Pair:
    """The same question with the embedder's languages told and not told."""
    told = system.assistant.languages
    ours = await ask(system, question, Tier.EXTRACT)
    system.assistant.languages = ()
    system.assistant.memory._shelves.clear()  # the second answer is not the first one remembered
    peer = await ask(system, question, Tier.EXTRACT)
    system.assistant.languages = told
    return Pair(language, ours, peer)


async def run() -> list[Pair]:
    corpus, questions = rows_of(XQUAD / "corpus.jsonl"), rows_of(XQUAD / "answers.jsonl")
    found: list[Pair] = []
    for kept in (0, 1):
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(home=Path(folder) / "kb")
            async with open_system(settings, generation=False) as system:
                await feed(system, [row for row in corpus if half(row["_id"]) == kept])
                for row in questions:
                    found.append(await both(system, question_of(row, kept), row["lang"]))
        print(f"half {kept}: {len(found)} asked", flush=True)
    return found


def question_of(row: dict[str, Any], kept: int) -> Question:
    """A question, with its gold answers if their paragraph was kept."""
    (gold,) = row["gold_ids"]
    answers = tuple(row["answers"]) if half(gold) == kept else ()
    return Question(row["_id"], row["question"], answers, frozenset({chunk_id(gold)}))


def measures(name: str, pairs: Sequence[Pair]) -> Iterator[Row]:
    """The rows of one language; ours and the peer's."""

    def part(side: str, *, answerable: bool, what: str) -> float:
        chosen = [getattr(each, side) for each in pairs]
        return statistics.mean(
            getattr(each, what) for each in chosen if bool(each.question.gold) == answerable
        )

    def area(side: str) -> float:
        known = [getattr(each, side) for each in pairs]
        sure = {
            yes: [each.answer.confidence or 0.0 for each in known if bool(each.question.gold) == yes]
            for yes in (True, False)
        }
        return auc(sure[True], sure[False])

    for label, answerable, what in (
        ("answer in the quotes", True, "right"),
        ("answerable declined", True, "declined"),
        ("declined without its paragraph", False, "declined"),
    ):
        ours, peer = (part(side, answerable=answerable, what=what) for side in ("ours", "peer"))
        lower = label == "answerable declined"
        yield Row(f"{name}: {label}", ours, "share", peer="cosines", peer_value=peer, lower_is_better=lower)
    yield Row(f"{name}: AUC", area("ours"), "of confidence", peer="cosines", peer_value=area("peer"))


def main() -> None:
    if not XQUAD.exists():
        raise SystemExit(f"the developer set is not at {XQUAD}: nothing to measure")
    pairs = asyncio.run(run())
    rows: list[Row] = []
    languages = sorted({each.language for each in pairs})
    for name in languages:
        rows += measures(name, [each for each in pairs if each.language == name])
    foreign = [each for each in pairs if each.language != "en"]
    rows += measures("all but en", foreign)
    write("languages", rows)


if __name__ == "__main__":
    main()
