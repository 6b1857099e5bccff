"""Tokens a second and retrieval quality of each number format, beside sentence-transformers as it comes.

Run it as `python tests/bench/embedding.py [TEXTS] [ROUNDS]`. All ways take turns on the same texts; the
medians count. The library has a process of its own, since our embedder changes how its process keeps memory.
Quality is of the dense leg alone, on two question sets of the developer set.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from rag.silence import silence

silence()

from question_sets import QA, load_set  # noqa: E402
from report import Row, write  # noqa: E402
from retrieval import ndcg, recall  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

from rag.embedding.dense import DenseEmbedder, cpu_flags  # noqa: E402
from rag.embedding.embedder import Vectors  # noqa: E402
from rag.embedding.int8 import VNNI_FLAGS  # noqa: E402
from rag.errors import ModelError  # noqa: E402
from rag.models.lockfile import entry, locate  # noqa: E402
from tests.graphs import of_embedder, quantised  # noqa: E402

SETS = ("squad2", "tatqa")
PEER = "sentence-transformers encode, float32, batch 32"
SPEED_TARGET, LOSS_TARGET = 2.5, 0.5

Encode = Callable[[Sequence[str]], Vectors]

peer: SentenceTransformer  # in the process of the library


def open_peer(folder: Path) -> None:
    global peer
    peer = SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def by_peer(texts: Sequence[str]) -> Vectors:
    vectors: Vectors = peer.encode(list(texts), show_progress_bar=False)
    return vectors


def formats() -> list[str]:
    """What is worth measuring here: bfloat16 without hardware for it takes several times as long."""
    flags = cpu_flags()
    here = ["float32"]
    here += ["int8"] if flags & VNNI_FLAGS else []
    return here + (["bfloat16"] if "amx_bf16" in flags else [])


def by_others(folder: Path, place: Path) -> dict[str, DenseEmbedder]:
    """The same model by ONNX Runtime and OpenVINO, from graphs that are exported here."""
    copy = Path(shutil.copytree(folder, place / "model"))
    quantised(of_embedder(copy, load_file(copy / "model.safetensors")), "model_qint8_avx512_vnni.onnx")
    wishes = (("onnx", "float32"), ("onnx", "int8"), ("openvino", "float32"))
    found: dict[str, DenseEmbedder] = {}
    for runtime, dtype in wishes:
        try:
            found[f"{runtime} {dtype}"] = DenseEmbedder(copy, dtype=dtype, runtime=runtime)
        except ModelError as error:  # some CPUs multiply int8 in sixteen bits, which overflow
            print(f"{runtime} {dtype} is not measured: {error}", file=sys.stderr)
    return found


def speeds(ways: dict[str, Encode], texts: Sequence[str], tokens: int, rounds: int) -> dict[str, list[float]]:
    """Tokens per second of wall clock in each round; the ways take turns, so that all meet the same noise."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, encode in ways.items():
            started = time.perf_counter()
            encode(texts)
            rates[name].append(tokens / (time.perf_counter() - started))
    # The first round warms up.
    return {name: found[1:] for name, found in rates.items()}


def quality(name: str, documents: Encode, query: Callable[[str], Vectors]) -> tuple[float, float]:
    """nDCG@10 and recall@10 of exact search by cosine, in points."""
    questions = load_set(name)
    ids, vectors = list(questions.passages), documents(list(questions.passages.values()))
    gains, recalls = [], []
    for key, text in questions.questions.items():
        ranked = [ids[index] for index in np.argsort(-(vectors @ query(text)), kind="stable")[:10]]
        gains.append(ndcg(ranked, questions.relevant[key]))
        recalls.append(recall(ranked, questions.relevant[key]))
    return 100 * float(np.mean(gains)), 100 * float(np.mean(recalls))


def speed_rows(rates: dict[str, list[float]], peer: str) -> list[Row]:
    rows = []
    for dtype, found in rates.items():
        if dtype != peer:
            # The ratio of each round by itself: a neighbour's load hits both halves of it.
            ratio = median(ours / theirs for ours, theirs in zip(found, rates[peer], strict=True))
            rows.append(Row(f"{dtype}: tokens", median(found), "tokens/s", peer, median(rates[peer])))
            target = SPEED_TARGET if dtype in ("int8", "bfloat16") else None
            rows.append(Row(f"{dtype}: median ratio of a round", ratio, "times", peer, target=target))
    return rows


def main() -> None:
    if not QA.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set): nothing measured")
    folder = locate(entry("all-minilm-l6-v2"))
    alone = ProcessPoolExecutor(1, get_context("spawn"), initializer=open_peer, initargs=(folder,))
    with alone, tempfile.TemporaryDirectory() as place:
        measure(folder, Path(place), alone)


def measure(folder: Path, place: Path, alone: ProcessPoolExecutor) -> None:
    given = [int(value) for value in sys.argv[1:]]
    count, rounds = [*given, *(200, 5)[len(given) :]][:2]
    ours = {dtype: DenseEmbedder(folder, dtype=dtype) for dtype in formats()}
    ours |= by_others(folder, place)

    def plain(texts: Sequence[str]) -> Vectors:
        return alone.submit(by_peer, texts).result()

    texts = [text for name in SETS for text in list(load_set(name).passages.values())[: count // len(SETS)]]
    exact = ours["float32"]
    tokens = sum(min(each + 2, exact.max_tokens) for each in exact.count(texts))
    ways: dict[str, Encode] = {PEER: plain} | {name: each.embed_documents for name, each in ours.items()}
    rows = speed_rows(speeds(ways, texts, tokens, rounds), PEER)
    for name in SETS:
        gain, found = quality(name, plain, lambda text: plain([text])[0])
        for dtype, embedder in ours.items():
            ndcg_here, recall_here = quality(name, embedder.embed_documents, embedder.embed_query)
            rows.append(Row(f"{name}, {dtype}: nDCG@10", ndcg_here, "points", PEER, gain, gain - LOSS_TARGET))
            rows.append(
                Row(f"{name}, {dtype}: recall@10", recall_here, "points", PEER, found, found - LOSS_TARGET)
            )
    write("embedding", rows)


if __name__ == "__main__":
    main()
