"""The question sets of the developer set, and the vectors of their passages, for the suites that search."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import OUT, ROOT

from rag.embedding.embedder import Embedder
from rag.store.catalog import StoredChunk
from rag.types import Chunk, Document, DocumentState

QA = ROOT.parent / "shared" / "data" / "dev_set" / "qa"


@dataclass(frozen=True)
class QuestionSet:
    """One set: passages, questions, and which passages answer which question."""

    name: str
    passages: dict[str, str]
    stored: dict[str, StoredChunk]
    questions: dict[str, str]
    relevant: dict[str, set[str]]


def load_set(name: str) -> QuestionSet:
    """The judged questions of a set; a follow-up is asked in its stand-alone form."""
    folder = QA / name
    relevant: dict[str, set[str]] = defaultdict(set)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant[row["query-id"]].add(row["corpus-id"])
    corpus = rows_of(folder / "corpus.jsonl")
    passages = {row["_id"]: f"{row['title']}\n{row['text']}" for row in corpus}
    stored = {row["_id"]: stored_chunk(row) for row in corpus}
    questions = {
        row["_id"]: row["metadata"].get("rewrite") or row["text"]
        for row in rows_of(folder / "queries.jsonl")
        if row["_id"] in relevant
    }
    return QuestionSet(name, passages, stored, questions, dict(relevant))


def stored_chunk(row: dict[str, Any]) -> StoredChunk:
    """A passage as the catalog would give it; those of one title are one document."""
    title = row["title"]
    document = Document(
        id=title or row["_id"],
        uri=title,
        title=title,
        collection="bench",
        tenant="bench",
        sha256="",
        version=1,
        state=DocumentState.LIVE,
    )
    return StoredChunk(Chunk(row["_id"], 0, row["text"]), document)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def vectors_of(texts: list[str], label: str, embedder: Embedder) -> np.ndarray:
    """One vector per text, kept in out/ under the hash of what they were made from."""
    made_from = "\0".join([embedder.name, embedder.dtype, *texts])
    path = OUT / f"vectors-{label}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.npy"
    if path.exists():
        return np.load(path)
    started = time.perf_counter()
    vectors = embedder.embed_documents(texts)
    print(
        f"{label}: embedded {len(texts)} in {time.perf_counter() - started:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    OUT.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors
