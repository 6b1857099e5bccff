"""The documents that an evaluation asks about: a collection as it is, or a corpus in a home of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from uuid import NAMESPACE_URL, uuid5

from rag.answering.events import Event
from rag.answering.sentences import is_table, sentences
from rag.assembly import System, open_system
from rag.embedding.prompts import prompts_for
from rag.embedding.tokens import TokenCounter
from rag.errors import BadRequest, IndexUnavailable
from rag.evaluation.benchmark import Benchmark, Row
from rag.evaluation.desk import Desk, named, unknown
from rag.evaluation.measuring import measured
from rag.evaluation.record import Record
from rag.models.gates import Binding
from rag.models.lockfile import folder_of
from rag.sdk.knowledge import Kind, Progress
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.queue import Claim, Listed, Queue, Shelf
from rag.store.vectors import CHUNKS_PER_CALL
from rag.types import Chunk, Message, Passage, Profile, Tier
from rag.wire import AUTO

COLLECTION = "default"
LEASE_S = 3600.0
# What was found out about models and machine holds in a home that lives for an hour too.
KEPT = ("checks.json", "tuning.json", "chunk-cache-gates.json")


@dataclass(frozen=True, kw_only=True)
class Library(Desk):
    """A running system of this process, asked on behalf of the owner of its home."""

    system: System

    async def search(self, question: str, *, limit: int) -> list[Passage]:
        """Passages, best first."""
        system = self.system
        return await system.retriever.search(
            question, system.principal, collection=self.collection, limit=limit
        )

    def ask(self, question: str, *, history: Sequence[Message], tier: str | None) -> AsyncIterator[Event]:
        """The events of one answer."""
        system = self.system
        return system.assistant.ask(
            question, system.principal, history=history, collection=self.collection, tier=tier
        )


async def evaluated(
    settings: Settings,
    benchmark: Benchmark,
    kind: Kind,
    *,
    tier: str | None = None,
    collection: str | None = None,
    seed: int = 1,
    reading: Progress = lambda done, total: None,
    asking: Progress | None = None,
) -> Record:
    """A collection of the home, or the data set's own corpus, measured in this process.

    `reading` and `asking` are told how far it is. Raises BadRequest when nothing can be scored.
    """
    tier = None if tier == AUTO else tier
    needs_model = kind == "answers" and (tier or settings.answering.tier) != Tier.EXTRACT
    async with opened(
        settings, benchmark, collection=collection, generation=needs_model, progress=reading
    ) as library:
        return await measured(library, kind, benchmark, tier=tier, seed=seed, progress=asking)


@asynccontextmanager
async def opened(
    settings: Settings,
    benchmark: Benchmark,
    *,
    collection: str | None = None,
    generation: bool = False,
    progress: Progress = lambda done, total: None,
) -> AsyncIterator[Library]:
    """What the questions are asked of: that collection of the home, or the corpus in a temporary one.

    `generation`: the model will be needed. Raises BadRequest when the data set names no document of the
    collection, or has no corpus and no collection is given.
    """
    # What is measured here may be what has yet to pass its gate.
    answering = settings.answering.model_copy(update={"profile": Profile.EXPLORATORY})
    settings = settings.model_copy(update={"answering": answering})
    if collection is not None:
        async with open_system(settings, generation=generation) as system:
            await system.check_collection(collection, system.principal)
            rows = await asyncio.to_thread(known_documents, system, collection, benchmark)
            yield library_of(system, collection, rows, {"collection": collection})
        return
    if not benchmark.rows:
        raise BadRequest(
            f"{benchmark.name} has no corpus.jsonl; add one, or name a collection with --collection"
        )
    with tempfile.TemporaryDirectory(prefix="rag-eval-") as folder:
        home = home_beside(settings.home, Path(folder) / "kb")
        store = settings.store.model_copy(update={"url": "", "database_url": ""})
        async with open_system(
            settings.model_copy(update={"home": home, "store": store}), generation=generation
        ) as system:
            rows = await feed(system, benchmark.rows, progress)
            yield library_of(system, COLLECTION, rows)


def library_of(
    system: System, collection: str, rows: Mapping[str, str], about: Mapping[str, str] = MappingProxyType({})
) -> Library:
    """A system as it is asked here, with all that its numbers depend on, `about` among it."""
    bound = {**asdict(Binding.of(system.model, system.settings)), **about}
    currency = system.settings.cost.currency
    return Library(system=system, collection=collection, rows=rows, bound=bound, currency=currency)


def home_beside(home: Path, fresh: Path) -> Path:
    """An empty home with the models of another, and with what is known of them."""
    fresh.mkdir(parents=True, mode=0o700)
    if (home / "models").is_dir():
        (fresh / "models").symlink_to((home / "models").resolve())
    for name in KEPT:
        if (home / name).is_file():
            shutil.copy(home / name, fresh / name)
    return fresh


def known_documents(system: System, collection: str, benchmark: Benchmark) -> dict[str, str]:
    """Corpus ids by the document or chunk that they mean. Raises BadRequest when they mean none."""
    wanted = {each for item in benchmark.items for each in item.relevant}
    documents = system.catalog.documents(system.principal, collection=collection)
    found = named(documents, wanted)
    chunks = system.catalog.passages(sorted(wanted - set(found.values())), system.principal)
    found |= {chunk_id: chunk_id for chunk_id in chunks}
    if wanted and not found:
        raise BadRequest(unknown(wanted, collection))
    return found


async def feed(system: System, rows: Sequence[Row], progress: Progress) -> dict[str, str]:
    """Read a corpus in: rows of one title are one document, a row is as many chunks as the embedder needs.

    The corpus id of every chunk.
    """
    budget = budget_of(system.settings)
    documents = {name: list(group) for name, group in by_document(rows)}
    queue = Queue(system.catalog.database)
    shelf = Shelf.of(system.principal, COLLECTION, ("everyone",), "evaluation")
    listed = [Listed(name, sha256(name.encode()).hexdigest(), 0) for name in documents]
    await asyncio.to_thread(queue.enqueue, listed, shelf)
    found: dict[str, str] = {}
    filled: dict[int, tuple[str, int]] = {}
    while claim := await asyncio.to_thread(queue.claim, lease_s=LEASE_S):
        chunks: list[Chunk] = []
        for row in documents[claim.uri]:
            for text in cut(row, budget):
                chunk = chunk_of(row, len(chunks), text)
                found[chunk.id] = row.id
                chunks.append(chunk)
        version = await fill(system, claim, documents[claim.uri][0].title, chunks)
        filled[version] = (claim.document_id, len(chunks))
        progress(len(filled), len(documents))
    await publish(system, filled)
    return found


def by_document(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Rows by the name of their document: those of one title belong together, those of none stand alone."""

    def name(row: Row) -> str:
        return f"title:{row.title}" if row.title.strip() else f"row:{row.id}"

    return groupby(sorted(rows, key=name), key=name)  # sorting keeps the order within a document


async def fill(system: System, claim: Claim, title: str, chunks: Sequence[Chunk]) -> int:
    """A version of these chunks, in catalog and index but not answering yet."""
    catalog: Catalog = system.catalog
    version = await asyncio.to_thread(
        catalog.open_version, claim.document_id, title=title, media_type="text/plain", pages=0
    )
    assert version is not None
    await asyncio.to_thread(catalog.save_chunks, version, chunks)
    for start in range(0, len(chunks), CHUNKS_PER_CALL):
        batch = chunks[start : start + CHUNKS_PER_CALL]
        wire = [{"id": each.id, "text": each.text, "heading": title} for each in batch]
        await system.vectors.upsert(
            version, tenant=claim.tenant, collection=claim.collection, groups=claim.groups, chunks=wire
        )
    return version


async def publish(system: System, filled: Mapping[int, tuple[str, int]]) -> None:
    """Let all documents answer. Raises IndexUnavailable when the index does not hold every chunk."""
    await system.vectors.settle(max(filled))  # once for all: nothing of this outlives the evaluation
    points = await system.vectors.versions()
    for version, (document_id, count) in filled.items():
        if points.get(version) != count:
            raise IndexUnavailable(
                f"the index holds {points.get(version, 0)} of {count} chunks of a document"
            )
        await asyncio.to_thread(system.catalog.publish, document_id, version)
    await system.vectors.optimize()


@dataclass(frozen=True)
class Budget:
    """What the embedder reads at once, in its own tokens."""

    counter: TokenCounter
    tokens: int


def budget_of(settings: Settings) -> Budget:
    """The budget of the embedder in the settings."""
    chosen, home = settings.embedding, settings.home
    prompts = prompts_for(chosen.model, home, document=chosen.document_prompt)
    counter = TokenCounter(folder_of(chosen.model, home), prompts.document)
    return Budget(counter, min(settings.ingest.chunk_tokens, counter.budget))


def cut(row: Row, budget: Budget) -> list[str]:
    """A row as texts that fit the embedder under its title, cut between sentences or rows of a table."""
    heading, whole = budget.counter.count([row.title, row.text])
    room = max(32, budget.tokens - heading)
    if whole <= room:
        return [row.text]
    pieces, start, used = [], 0, 0
    parts = sentences(row.text)
    for part, tokens in zip(parts, budget.counter.count([each.text for each in parts]), strict=True):
        if used and used + tokens > room:
            pieces.append(row.text[start : part.start])
            start, used = part.start, 0
        used += tokens
    return [piece for piece in (*pieces, row.text[start:]) if piece.strip()]


def chunk_of(row: Row, ordinal: int, text: str) -> Chunk:
    """A chunk whose id follows from its row and place."""
    key = str(uuid5(NAMESPACE_URL, f"{row.id}\0{ordinal}"))
    return Chunk(key, ordinal, text, kind="table" if is_table(text) else "text")
