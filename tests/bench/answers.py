"""How often answers on squad2 are right, declined and supported, all paragraphs together, and how fast."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import OUT, ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from rag.answering.grounding import COVERAGE, coverage, literal, windows
from rag.answering.sentences import sentences
from rag.assembly import System, open_system
from rag.assistant import Delta, Final, Sources
from rag.evaluation.statistics import auc
from rag.settings import Settings
from rag.store.queue import Listed, Queue, Shelf
from rag.types import Answer, Chunk, Outcome, Passage, Tier

SQUAD = ROOT.parent / "shared" / "data" / "dev_set" / "qa" / "squad2"
CHUNKS_PER_CALL = 64
LEASE_S = 600.0
SEED = 20251120
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True)
class Question:
    """One question of squad2; without gold answers it has none in the documents."""

    id: str
    text: str
    gold: tuple[str, ...]
    passages: frozenset[str]

    @property
    def reported(self) -> bool:
        """The half that the choice of quotes was not fitted on; the confidence is fitted on all."""
        return hashlib.sha256(self.id.encode()).digest()[-1] % 2 == 1


@dataclass(frozen=True)
class Asked:
    """A question, its answer, and the seconds until its first word and its last."""

    question: Question
    answer: Answer
    first_s: float
    total_s: float

    @property
    def declined(self) -> bool:
        return self.answer.outcome is Outcome.NOT_FOUND

    @property
    def would_be_right(self) -> bool:
        """Whether what is shown holds a gold answer; a declined one shows nothing and counts as wrong."""
        return bool(self.question.gold) and self.right

    @property
    def right(self) -> bool:
        """Whether the text or its quotes contain a gold answer, normalised as SQuAD does."""
        shown = [self.answer.text, *(citation.quote for citation in self.answer.citations)]
        return not self.declined and any(contains(self.question.gold, text) for text in shown)

    @property
    def well_cited(self) -> bool:
        """Whether a cited passage holds a gold answer."""
        cited = {citation.chunk_id for citation in self.answer.citations}
        return any(
            contains(self.question.gold, each.chunk.text)
            for each in self.answer.passages
            if each.chunk.id in cited
        )

    def hit(self, depth: int) -> bool:
        found = {passage.chunk.id for passage in self.answer.passages[:depth]}
        return not found.isdisjoint(self.question.passages)

    @property
    def unsupported(self) -> int:
        """Sentences of the model shown though no cited chunk passes every literal check: has to be none."""
        if self.answer.outcome is not Outcome.ANSWERED:
            return 0
        cited = {citation.chunk_id for citation in self.answer.citations}
        sources = [passage for passage in self.answer.passages if passage.chunk.id in cited]
        plain = re.sub(r" \[\d+\]", "", self.answer.text)
        return sum(not supported(each.text, sources, self.question.text) for each in sentences(plain))


def supported(claim: str, sources: Sequence[Passage], question: str) -> bool:
    """The literal checks once more, apart from the assistant."""
    found = [window for each in sources for window in windows(each.chunk, title=each.title)]
    return any(
        not literal(claim, window, question=question) and coverage(claim, window) >= COVERAGE
        for window in found
    )


def contains(gold: Sequence[str], text: str) -> bool:
    return any(normal(each) in normal(text) for each in gold)


def normal(text: str) -> str:
    """Lower case without punctuation and articles."""
    return " ".join(ARTICLES.sub(" ", re.sub(r"[^\w\s]", "", text.lower())).split())


def chunk_id(row_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, row_id))


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (SQUAD / name).read_text("utf-8").splitlines()]


def questions() -> list[Question]:
    return [
        Question(
            row["_id"],
            row["question"],
            tuple(row["answers"]),
            frozenset(map(chunk_id, row.get("gold_ids", ()))),
        )
        if row["answerable"]
        else Question(row["_id"], row["question"], (), frozenset())
        for row in rows("answers.jsonl")
    ]


async def feed(system: System, corpus: Sequence[dict]) -> None:
    """Every article a document, every paragraph one of its chunks, through catalog and index as they are.

    A paragraph without a title is a document of its own.
    """
    articles: dict[str, list[Chunk]] = defaultdict(list)
    for row in corpus:
        paragraphs = articles[row["title"] or row["_id"]]
        paragraphs.append(Chunk(chunk_id(row["_id"]), len(paragraphs), row["text"]))
    queue = Queue(system.catalog.database)
    shelf = Shelf.of(system.principal, "default", ("everyone",), "bench")
    queue.enqueue([Listed(title, "0" * 64, 0) for title in articles], shelf)
    while claim := queue.claim(lease_s=LEASE_S):
        paragraphs = articles[claim.uri]
        title = claim.uri.replace("_", " ")
        version = system.catalog.open_version(
            claim.document_id, title=title, media_type="text/plain", pages=0
        )
        system.catalog.save_chunks(version, paragraphs)
        for start in range(0, len(paragraphs), CHUNKS_PER_CALL):
            wire = [
                {"id": each.id, "text": each.text, "heading": title}
                for each in paragraphs[start : start + CHUNKS_PER_CALL]
            ]
            place = {"tenant": claim.tenant, "collection": claim.collection, "groups": list(claim.groups)}
            await system.vectors.upsert(version, chunks=wire, **place)
        assert (await system.vectors.settle(version))["points"] == len(paragraphs)
        system.catalog.publish(claim.document_id, version)


async def ask(system: System, question: Question, tier: Tier) -> Asked:
    started = time.perf_counter()
    first_s = 0.0
    async for event in system.assistant.ask(question.text, system.principal, tier=tier):
        if isinstance(event, Sources):
            continue
        if isinstance(event, Delta):
            first_s = first_s or time.perf_counter() - started
        elif isinstance(event, Final):
            return Asked(question, event.answer, first_s, time.perf_counter() - started)
    raise AssertionError("an answer ends with Final")


def measures(tier: Tier, asked: Sequence[Asked]) -> Iterator[Row]:
    """The rows of one tier."""
    answerable = [each for each in asked if each.question.gold]
    without = [each for each in asked if not each.question.gold]
    fresh = [each for each in answerable if each.question.reported]

    def part(found: Sequence[bool]) -> float:
        return sum(found) / len(found) if found else 0.0

    name = f"{tier}: "
    yield Row(f"{name}questions", len(asked), "questions")
    yield Row(f"{name}hit@5", part([each.hit(5) for each in answerable]), "share of answerable")
    yield Row(
        f"{name}answer or quotes contain gold",
        part([each.right for each in answerable]),
        "share of answerable",
        target=0.92,
    )
    yield Row(
        f"{name}the same, half not tuned on", part([each.right for each in fresh]), "share", target=0.92
    )
    yield Row(f"{name}answerable declined", part([each.declined for each in answerable]), "share")
    yield Row(
        f"{name}unanswerable declined", part([each.declined for each in without]), "share of unanswerable"
    )
    answered = [each for each in answerable if not each.declined]
    cited = part([each.well_cited for each in answered])
    yield Row(f"{name}a cited passage holds gold", cited, "share of answered", target=0.95)
    told = part([each.right for each in answered])
    yield Row(f"{name}answer or quotes contain gold, where not declined", told, "share of answered")
    outcomes = [each.answer.outcome for each in asked]
    yield Row(f"{name}worded by the model", part([each is Outcome.ANSWERED for each in outcomes]), "share")
    worded = [each for each in answerable if each.answer.outcome is Outcome.ANSWERED]
    right = part([contains(each.question.gold, each.answer.text) for each in worded])
    yield Row(f"{name}worded, gold in the model's own words", right, f"share of {len(worded)}")
    yield from trust(name, asked, "fitted on these")
    false = part([each.answer.outcome is Outcome.ANSWERED for each in without])
    yield Row(f"{name}unanswerable answered in the model's words", false, "share of unanswerable")
    unsupported = sum(each.unsupported for each in asked)
    yield Row(
        f"{name}shown sentences that fail a second check",
        unsupported,
        "sentences",
        target=0,
        lower_is_better=True,
    )
    for label, seconds in (("first word", [e.first_s for e in asked]), ("whole", [e.total_s for e in asked])):
        cuts = statistics.quantiles(seconds, n=20)
        yield Row(f"{name}{label} p50", cuts[9], "s")
        yield Row(f"{name}{label} p95", cuts[18], "s")
    tokens = sum(each.answer.usage.completion_tokens for each in asked)
    if tokens:
        generating = sum(each.answer.seconds.get("generate", 0.0) for each in asked)
        yield Row(f"{name}generated, prefill included", tokens / generating, "tokens/s")


def trust(name: str, asked: Sequence[Asked], which: str) -> Iterator[Row]:
    """What the confidence is worth: does it tell answerable from not, and is it a probability?"""
    known = [each for each in asked if each.answer.confidence is not None]
    yes = [each.answer.confidence or 0.0 for each in known if each.question.gold]
    no = [each.answer.confidence or 0.0 for each in known if not each.question.gold]
    if not yes or not no:
        return
    yield Row(f"{name}confidence: AUC, {which}", auc(yes, no), "of answerable over not", target=0.80)
    bar = sorted(yes)[len(yes) // 10]
    declined = sum(each < bar for each in no) / len(no)
    yield Row(
        f"{name}unanswerable below what 10 % of the answerable are below", declined, "share", target=0.60
    )
    error = 0.0
    for low in range(10):
        within = [
            each for each in known if low <= 10 * (each.answer.confidence or 0.0) < low + 1 + (low == 9)
        ]
        if within:
            told = statistics.mean(each.answer.confidence or 0.0 for each in within)
            true = statistics.mean(float(each.would_be_right) for each in within)
            error += abs(told - true) * len(within) / len(known)
            print(f"{name}confidence {low / 10:.1f}: {len(within)} told {told:.2f} true {true:.2f}")
    yield Row(f"{name}expected calibration error, {which}", error, "probability", lower_is_better=True)


async def run(tiers: Sequence[Tier], count: int | None) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        async with open_system(Settings(home=Path(folder) / "kb"), generation=Tier.SMALL in tiers) as system:
            started = time.perf_counter()
            await feed(system, rows("corpus.jsonl"))
            print(f"indexed in {time.perf_counter() - started:.0f} s", flush=True)
            for tier in tiers:
                chosen = questions()
                size = count or (60 if tier is Tier.SMALL else len(chosen))
                chosen = random.Random(SEED).sample(chosen, min(size, len(chosen)))
                asked = []
                for number, question in enumerate(chosen, start=1):
                    asked.append(await ask(system, question, tier))
                    if number % 20 == 0:
                        print(f"{tier}: {number} of {len(chosen)}", flush=True)
                keep(tier, asked)
                found += measures(tier, asked)
                if tier is Tier.EXTRACT:
                    found.append(await undeclined(system, [each for each in chosen if each.gold]))
    return found


async def undeclined(system: System, answerable: Sequence[Question]) -> Row:
    """How often the quotes hold a gold answer where nothing is declined: the choice of quotes alone."""
    as_set = system.assistant.settings
    system.assistant.settings = as_set.model_copy(update={"decline_below": 0.0})
    asked = [await ask(system, question, Tier.EXTRACT) for question in answerable]
    system.assistant.settings = as_set
    right = sum(each.right for each in asked) / len(asked)
    return Row("extract: quotes contain gold, declining switched off", right, "share", target=0.92)


def keep(tier: Tier, asked: Sequence[Asked]) -> None:
    """Every answer beside the figures, to look at what went wrong."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / f"answers-{tier}.jsonl").open("w", encoding="utf-8") as lines:
        for each in asked:
            told = {
                "question": each.question.text,
                "gold": each.question.gold,
                "right": each.right,
                "outcome": each.answer.outcome,
                "text": each.answer.text,
                "quotes": [citation.quote for citation in each.answer.citations],
            }
            lines.write(json.dumps(told, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--questions", type=int, help="how many, drawn with a seed; default: 400, small tier 60"
    )
    parser.add_argument("--tier", type=Tier, choices=list(Tier), help="default: both")
    arguments = parser.parse_args()
    if not SQUAD.exists():
        raise SystemExit(f"the developer set is not at {SQUAD}: nothing to measure")
    tiers = [arguments.tier] if arguments.tier else list(Tier)
    write("answers", asyncio.run(run(tiers, arguments.questions)))


if __name__ == "__main__":
    main()
