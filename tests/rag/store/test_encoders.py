"""Learned sparse vectors and late interaction: tiny models made here, in the real index process and store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

from rag.assembly import open_system
from rag.embedding.late import TokenEncoder
from rag.embedding.learned import LearnedSparse
from rag.errors import IndexUnavailable, ModelError, SettingsError, UnknownModel
from rag.models.lockfile import Entry, PinnedFile, entry, locate
from rag.models.shelf import to_toml
from rag.retrieval.explanation import explained
from rag.settings import Settings
from rag.sharing import SharedWorker
from rag.store.access import Access
from rag.store.encoders import open_late, open_sparse
from rag.store.index import IndexService
from rag.store.vectors import IndexVectors
from rag.types import Passage

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SPOKEN = "how many days leave vacation thirty coffee friday machine sales grew the of"
WORDS = [*SPECIAL, *SPOKEN.split()]
TEXTS = {
    "leave": "thirty days of leave",
    "coffee": "the coffee machine of friday",
    "sales": "sales grew",
    "days": "days of days",
}
IDS = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in TEXTS}
CHUNKS = [{"id": IDS[name], "text": text, "heading": ""} for name, text in TEXTS.items()]
ACCESS = Access("default", ("everyone",))


def config(**changes: Any) -> BertConfig:
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    return BertConfig(
        vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.5, **(sizes | changes)
    )


def saved(model: Any, folder: Path) -> Path:
    """A model with the tokenizer of these words."""
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model whose terms are the words it reads, but that vacation and leave are one."""
    torch.manual_seed(7)
    model = BertForMaskedLM(config(num_hidden_layers=0))
    words = model.bert.embeddings.word_embeddings.weight.data
    words[WORDS.index("vacation")] = words[WORDS.index("leave")]
    model.bert.embeddings.position_embeddings.weight.data.zero_()
    model.bert.embeddings.token_type_embeddings.weight.data.zero_()
    head = model.cls.predictions
    head.transform.dense.weight.data = torch.eye(64)
    head.transform.dense.bias.data.zero_()
    head.bias.data[:] = -13.0
    head.bias.data[: len(SPECIAL)] = -1000.0
    return saved(model, tmp_path_factory.mktemp("models") / "splade-tiny")


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of random weights, and a projection to 128 numbers a token."""
    torch.manual_seed(7)
    backbone = saved(BertModel(config()), tmp_path_factory.mktemp("backbone"))
    folder = tmp_path_factory.mktemp("models") / "colbert-tiny"
    prompts = {"query": "how ", "document": ""}
    MultiVectorEncoder(str(backbone), device="cpu", local_files_only=True, prompts=prompts).save(str(folder))
    return folder


def weights_by_hand(folder: Path, text: str) -> dict[int, float]:
    """log(1 + relu(logit)), the largest over the tokens, by transformers alone."""
    tokens = BertTokenizerFast.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        logits = BertForMaskedLM.from_pretrained(folder).eval()(**tokens).logits[0].numpy()
    weights = np.log1p(np.maximum(logits, 0)).max(axis=0)
    return {int(term): float(weights[term]) for term in weights.nonzero()[0]}


def product(left: dict[int, float], right: dict[int, float]) -> float:
    return sum(weight * right.get(term, 0.0) for term, weight in left.items())


def mean_max_sim(folder: Path, question: str, text: str) -> float:
    """The mean over the question's tokens of the largest cosine, by numpy."""
    model = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    asked = model.encode_query(question, convert_to_numpy=True)
    read = model.encode_document(text, convert_to_numpy=True)
    return float((asked @ read.T).max(axis=1).mean())


def test_the_terms_of_a_text_are_those_of_the_model(splade: Path) -> None:
    encoder = LearnedSparse(splade)
    vectors = encoder.encode_documents(list(TEXTS.values()))
    for text, vector in zip(TEXTS.values(), vectors, strict=True):
        found = dict(zip(vector.indices, vector.values, strict=True))
        assert found == pytest.approx(weights_by_hand(splade, text), abs=1e-5)
    read = {WORDS[term] for term in vectors[0].indices}
    assert read == {"thirty", "days", "of", "leave", "vacation"}


def test_a_question_goes_through_the_models_side_for_questions(splade: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with-prompts"
    prompts = {"query": "friday ", "document": ""}
    SparseEncoder(str(splade), device="cpu", local_files_only=True, prompts=prompts).save(str(folder))
    encoder = LearnedSparse(folder)
    assert encoder.encode_query("coffee") == encoder.encode_documents(["friday coffee"])[0]
    assert encoder.encode_query("coffee") != encoder.encode_documents(["coffee"])[0]


def test_every_batch_of_passages_lets_questions_by(splade: Path, colbert: Path) -> None:
    for encoder in (LearnedSparse(splade), TokenEncoder(colbert)):
        pauses: list[int] = []
        together = encoder.encode_documents(["coffee"] * 9, pause=lambda: pauses.append(1))  # noqa: B023
        assert len(together) == 9 and len(pauses) in (2, 3)


def test_token_vectors_have_unit_length(colbert: Path) -> None:
    encoder = TokenEncoder(colbert)
    for vectors in (encoder.encode_query("how many days"), *encoder.encode_documents(["coffee", "the days"])):
        assert vectors.shape[1] == encoder.dim == 128
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


def test_models_of_another_kind_are_refused_though_the_library_would_dress_them_up(
    splade: Path, colbert: Path
) -> None:
    embedder = locate(entry("all-minilm-l6-v2"))
    for folder in (embedder, colbert):
        with pytest.raises(ModelError, match="holds no learned sparse encoder"):
            LearnedSparse(folder)
    for folder in (embedder, splade):
        with pytest.raises(ModelError, match="holds no token encoder"):
            TokenEncoder(folder)


def test_damaged_weights_and_settings_are_told(splade: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in splade.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.safetensors").write_bytes((splade / "model.safetensors").read_bytes()[:500])
    with pytest.raises(ModelError, match="does not load as a SparseEncoder"):
        LearnedSparse(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json cannot be read.*fetch the model again"):
        LearnedSparse(folder)


def test_a_model_of_the_lock_is_found_by_its_name_and_verified(splade: Path, tmp_path: Path) -> None:
    kept = tmp_path / "models" / "splade-tiny"
    kept.mkdir(parents=True)
    for file in splade.iterdir():
        (kept / file.name).write_bytes(file.read_bytes())
    weights = (kept / "model.safetensors").read_bytes()
    pinned = PinnedFile("splade-tiny/model.safetensors", hashlib.sha256(weights).hexdigest(), len(weights))
    made = Entry("splade-tiny", "sparse-encoder", "splade-tiny", (pinned,), "MIT", "F32", "made here")
    (tmp_path / "models" / "models.lock").write_text(to_toml(made))
    encoder, made_by = open_sparse("splade-tiny", tmp_path, 1)
    assert encoder.name == "splade-tiny" and made_by.startswith("splade-tiny@")
    (kept / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"embedding.sparse 'splade-tiny'.*expected sha256.*rag reindex"):
        open_sparse("splade-tiny", tmp_path, 1)


def test_a_model_that_is_not_there_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"embedding.sparse '/nowhere'.*is no folder; put it there again"):
        open_sparse("/nowhere", tmp_path, 1)
    with pytest.raises(UnknownModel, match=r"embedding.late_interaction 'colbert'.*no model.*; put it there"):
        open_late("colbert", tmp_path, 1)


@contextlib.asynccontextmanager
async def index(home: Path, **embedding: str) -> AsyncIterator[IndexVectors]:
    """The index process of a home."""
    arguments = {"store": {"min_free_bytes": 0}, "embedding": {"dtype": "float32", **embedding}}
    worker = SharedWorker(
        "rag.store.index:IndexService",
        {"home": str(home), **arguments},
        name="index",
        lock=home / "index.lock",
    )
    try:
        yield IndexVectors(worker)
    finally:
        await worker.stop()


def test_the_index_process_finds_by_learned_terms_and_scores_again_by_tokens(
    splade: Path, colbert: Path, tmp_path: Path
) -> None:
    asyncio.run(story(splade, colbert, tmp_path))
    for changed, told in (
        ({}, "sparse vectors of splade-tiny@"),
        ({"sparse": str(splade)}, "token vectors of colbert-tiny@"),
        ({"document_prompt": "passage: "}, "'' before every passage and it is 'passage: '"),
    ):
        with pytest.raises(IndexUnavailable, match=rf"{told}.*`rag reindex`"):
            IndexService(str(tmp_path), {"min_free_bytes": 0}, {"dtype": "float32", **changed})


async def story(splade: Path, colbert: Path, home: Path) -> None:
    """One story, because starting a child costs seconds: write, find, score, keep out."""
    async with index(home, sparse=str(splade), late_interaction=str(colbert)) as vectors:
        put = {"tenant": "default", "collection": "default"}
        await vectors.upsert(1, **put, groups=["everyone"], chunks=CHUNKS)
        secret = [{**chunk, "id": str(uuid.uuid4())} for chunk in CHUNKS]
        await vectors.upsert(2, **put, groups=["board"], chunks=secret)
        await vectors.upsert(3, tenant="other", collection="default", groups=["everyone"], chunks=[secret[0]])
        assert (await vectors.settle(1))["points"] == len(CHUNKS)

        legs = await vectors.search("vacation days", access=ACCESS, limit=10)
        asked = weights_by_hand(splade, "vacation days")
        expected = {IDS[name]: product(asked, weights_by_hand(splade, text)) for name, text in TEXTS.items()}
        # To the number: an IDF would have made "leave" count for more than "days", which two passages hold.
        assert dict(legs.sparse) == pytest.approx({key: score for key, score in expected.items() if score})
        assert legs.sparse[0][0] == IDS["leave"] and legs.terms == "splade-tiny"

        by_hand = {IDS[n]: mean_max_sim(colbert, "vacation days", text) for n, text in TEXTS.items()}
        assert dict(legs.late) == pytest.approx(by_hand, abs=1e-3)  # they are kept in half precision
        assert legs.late == sorted(legs.late, key=lambda hit: -hit[1])

        board = await vectors.search("vacation days", access=Access("default", ("board",)), limit=10)
        for leg in (board.dense, board.sparse, board.late):
            assert leg and {key for key, _ in leg} <= {chunk["id"] for chunk in secret}
        nobody = await vectors.search("vacation days", access=Access("default", ("staff",)), limit=10)
        assert (nobody.dense, nobody.sparse, nobody.late) == ([], [], [])

        info = await vectors.info()
        for kind, name in (("sparse", "splade-tiny"), ("late_interaction", "colbert-tiny")):
            assert info[kind].startswith(f"{name}@") and info[kind].endswith(", reads 64 tokens")
        assert await vectors.tidy() is False


async def searched(settings: Settings, question: str, *, documents: Sequence[Path] = ()) -> list[Passage]:
    async with open_system(settings, generation=False) as system:
        if documents:
            await system.ingest(documents)
        return await system.retriever.search(question, system.principal)


async def rebuilt(settings: Settings) -> None:
    from ingest.rebuilding import Rebuild

    async with open_system(settings, generation=False) as system:
        await Rebuild(system.pipeline()).run()


@pytest.mark.slow
def test_a_switch_of_models_takes_a_new_generation_and_a_lost_model_is_no_dead_end(
    splade: Path, colbert: Path, tmp_path: Path
) -> None:
    documents, lent = tmp_path / "documents", tmp_path / "models" / "splade-lent"
    documents.mkdir()
    for name, text in TEXTS.items():
        (documents / f"{name}.txt").write_text(text)
    lent.mkdir(parents=True)
    for file in splade.iterdir():
        (lent / file.name).write_bytes(file.read_bytes())
    plain = Settings(home=tmp_path / "home")
    learned = Settings(
        home=tmp_path / "home", embedding={"sparse": str(lent), "late_interaction": str(colbert)}
    )
    (first, *_) = asyncio.run(searched(plain, "coffee", documents=[documents]))
    assert first.terms == "bm25" and dict(first.signals)["bm25"] > 0

    # What is there answers on with what made it, and takes nothing new.
    assert asyncio.run(searched(learned, "coffee"))[0].terms == "bm25"
    with pytest.raises(SettingsError, match=r"terms 'words and pairs', now '.*splade-lent'\): `rag reindex`"):
        asyncio.run(searched(learned, "coffee", documents=[documents]))

    asyncio.run(rebuilt(learned))
    found = asyncio.run(searched(learned, "vacation days"))
    late = {each.chunk.text: mean_max_sim(colbert, "vacation days", each.chunk.text) for each in found}
    shares = {each.chunk.text: dict(each.signals).get("late interaction", 0.0) for each in found}
    assert sorted(shares, key=lambda text: -shares[text]) == sorted(late, key=lambda text: -late[text])
    assert max(shares.values()) == 1 and min(shares.values()) == 0
    lines = list(explained("vacation days", found, 0.4))
    assert "sparse (splade-lent) 0.60" in lines[0]
    assert lines[1].startswith("late interaction:") and "late interaction +1.000" in "".join(lines)

    (lent / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"embedding.sparse .*splade-lent'.*take the setting away"):
        asyncio.run(searched(learned, "vacation"))
    asyncio.run(rebuilt(plain))
    assert asyncio.run(searched(plain, "coffee"))[0].terms == "bm25"
