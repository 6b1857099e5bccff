"""How fast chunks are cut, how full they are, and how well near-duplicates are told from other texts.

Run it as `python tests/bench/chunking.py`. Text: paragraphs of the developer set as one long document each.
"""

from __future__ import annotations

import importlib.util
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rag.silence import silence

silence()

from ingest.chunking import chunk  # noqa: E402
from ingest.duplicates import ALIKE, bands, signature, similarity  # noqa: E402
from ingest.parsing.blocks import Block  # noqa: E402
from rag.embedding.tokens import TokenCounter  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from tests.bench.report import Row, write  # noqa: E402

QA = Path(__file__).resolve().parents[3] / "shared/data/dev_set/qa"
ENGLISH = ("hotpotqa", "squad2", "mtrag_human")
BYTES = 3_000_000
ROUNDS = 3
MEASURE = TokenCounter(locate(entry("all-minilm-l6-v2")))
BUDGET = MEASURE.budget

Chunker = Callable[[Sequence[str]], list[str]]


def paragraphs(sets: Sequence[str], *, language: str = "") -> list[str]:
    """Texts of the corpora, up to BYTES of them."""
    found: list[str] = []
    size = 0
    for name in sets:
        for line in (QA / name / "corpus.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            if size < BYTES and language in ("", row["metadata"].get("lang")):
                found.append(row["text"])
                size += len(row["text"].encode())
    return found


def ours(texts: Sequence[str]) -> list[str]:
    return [piece.text for piece in chunk([Block("text", t) for t in texts], MEASURE.spans, budget=BUDGET)]


def unstructured_by_title(texts: Sequence[str]) -> list[str]:
    """chunk_by_title on ready elements; it counts characters, so its limit is 4.6 of them per token."""
    from unstructured.chunking.title import chunk_by_title
    from unstructured.documents.elements import NarrativeText

    size = int(4.6 * BUDGET)
    found = chunk_by_title([NarrativeText(text) for text in texts], max_characters=size)
    return [element.text for element in found]


def langchain_by_tokens(texts: Sequence[str]) -> list[str]:
    """RecursiveCharacterTextSplitter with the embedder's own token count."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    def tokens(text: str) -> int:
        return len(MEASURE.spans(text))

    splitter = RecursiveCharacterTextSplitter(chunk_size=BUDGET, chunk_overlap=0, length_function=tokens)
    found: list[str] = splitter.split_text("\n\n".join(texts))
    return found


def floor(texts: Sequence[str]) -> list[str]:
    """The tokenizer alone, every text once: what a chunker that encodes everything cannot beat."""
    MEASURE.count(texts)
    return []


def speed(cut: Chunker, texts: Sequence[str]) -> tuple[float, list[str]]:
    """MB per CPU second, the median of some rounds; and the chunks."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    rates: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        chunks = cut(texts)
        rates.append(size / (time.process_time() - started))
    return statistics.median(rates), chunks


def chunking() -> list[Row]:
    """Speed, fill and what is over the embedder's limit, beside the peers that are installed."""
    texts = paragraphs(ENGLISH)
    rate, chunks = speed(ours, texts)
    tokens = MEASURE.count(chunks)
    floor_rate, _ = speed(floor, texts)
    rows = [
        Row("chunking English", rate, "MB/CPU s", "tokenizers, every text once", floor_rate, target=2.5),
        Row("tokens of a chunk, mean", statistics.mean(tokens), "tokens"),
        Row("tokens of a chunk, most", max(tokens), "tokens", target=BUDGET, lower_is_better=True),
        Row(
            "chunks over the budget",
            sum(n > BUDGET for n in tokens),
            "chunks",
            target=0,
            lower_is_better=True,
        ),
    ]
    for language in ("zh", "ar", "hi"):
        other = paragraphs(["xquad_multilingual"], language=language)
        if other:
            rate, chunks = speed(ours, other)
            over = sum(n > BUDGET for n in MEASURE.count(chunks))
            rows.append(Row(f"chunking xquad {language}, {over} over", rate, "MB/CPU s"))
    peers: dict[str, Chunker] = {"unstructured chunk_by_title": unstructured_by_title}
    if importlib.util.find_spec("langchain_text_splitters"):
        peers["langchain Recursive, tokens"] = langchain_by_tokens
    for name, cut in peers.items():
        peer_rate, chunks = speed(cut, texts)
        tokens = MEASURE.count(chunks)
        over = sum(n > BUDGET for n in tokens)
        about = f"{name}: {statistics.mean(tokens):.0f} tokens mean, {max(tokens)} most, {over} over"
        rows.append(Row("chunking English", rows[0].ours, "MB/CPU s", about, peer_rate))
    return rows


def edited(text: str, share: float, vocabulary: Sequence[str], chance: random.Random) -> str:
    """The text with that share of its words replaced by words of other texts, anywhere."""
    words = text.split()
    for place in chance.sample(range(len(words)), int(len(words) * share)):
        words[place] = chance.choice(vocabulary)
    return " ".join(words)


def meet(one: bytes, other: bytes) -> bool:
    """Whether two texts are found and taken for near-duplicates."""
    found = any(a == b for a, b in zip(bands(one), bands(other), strict=True))
    return found and similarity(one, other) >= ALIKE


def duplicates() -> list[Row]:
    """Speed of signatures, and recall and precision on made pairs."""
    texts = [text for text in paragraphs(["hotpotqa"]) if len(text.split()) >= 60][:500]
    whole = "\n".join(paragraphs(ENGLISH))
    rate, _ = speed(lambda texts: [str(len(signature(text))) for text in texts], [whole])
    pieces = [whole[start : start + 1000] for start in range(0, len(whole), 1000)]
    piece_rate, _ = speed(lambda texts: [str(len(signature(text))) for text in texts], pieces)
    rows = [
        Row("signature of a document of 3 MB", rate, "MB/CPU s", target=5),
        Row("signatures of chunks of 1,000 characters", piece_rate, "MB/CPU s", target=5),
    ]
    chance = random.Random(20261121)
    vocabulary = whole.split()
    signatures = [signature(text) for text in texts]
    pairs = [(a, b) for place, a in enumerate(signatures) for b in signatures[:place]]
    wrong = sum(meet(a, b) for a, b in pairs)
    for share in (0.05, 0.1, 0.2, 0.3, 0.5):
        changed = [signature(edited(text, share, vocabulary, chance)) for text in texts]
        found = sum(meet(a, b) for a, b in zip(signatures, changed, strict=True))
        rows.append(Row(f"near-duplicates found, {share:.0%} of words changed", found / len(texts), "recall"))
    rows.append(Row(f"of {len(pairs):,} other pairs taken for near-duplicates", wrong, "pairs"))
    return rows


def main() -> None:
    if not QA.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set)")
    write("chunking", [*chunking(), *duplicates()])


if __name__ == "__main__":
    main()
