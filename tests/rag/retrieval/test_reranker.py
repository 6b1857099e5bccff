"""The reranker, with a tiny cross-encoder that is made here."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from rag.assembly import open_system
from rag.embedding.dense import cpu_flags
from rag.errors import ModelError, SettingsError
from rag.retrieval.cross_encoder import RerankService
from rag.retrieval.reranker import ChildReranker
from rag.settings import Settings
from rag.types import Passage
from tests.graphs import export

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] how many days leave thirty coffee friday the of".split()  # noqa: SIM905
TEXTS = ["thirty days of leave", "the coffee of friday", "many many days"]


class Here:
    """Calls the service in this process."""

    def __init__(self, service: RerankService) -> None:
        self.service = service

    async def call(self, method: str, *, timeout_s: float | None = None, **args: Any) -> Any:
        return getattr(self.service, method)(**args)

    def stream(self, method: str, **args: Any) -> AsyncIterator[Any]:
        raise AssertionError("a reranker does not stream")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of random weights, large enough that texts differ."""
    folder = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def by_hand(folder: Path, question: str, text: str) -> float:
    """The sigmoid of the model's logit, by transformers alone."""
    tokens = BertTokenizerFast.from_pretrained(folder)(question, text, return_tensors="pt")
    with torch.inference_mode():
        logit = BertForSequenceClassification.from_pretrained(folder).eval()(**tokens).logits.item()
    return 1 / (1 + math.exp(-logit))


def test_every_text_gets_the_score_of_the_model(folder: Path) -> None:
    scores = asyncio.run(ChildReranker(Here(RerankService(str(folder)))).scores("how many days", TEXTS))
    assert scores == pytest.approx([by_hand(folder, "how many days", text) for text in TEXTS], abs=1e-5)
    assert len(set(scores)) == 3 and all(0 <= score <= 1 for score in scores)


def test_no_text_has_no_score(folder: Path) -> None:
    assert RerankService(str(folder)).scores("how many days", []) == []


def test_a_folder_without_a_cross_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no cross-encoder"):
        RerankService(str(tmp_path))


def test_an_embedder_is_not_made_a_cross_encoder_by_random_numbers() -> None:
    with pytest.raises(ModelError, match="holds no cross-encoder"):
        RerankService("all-minilm-l6-v2")


def logits(model: Any, ids: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(ids, mask, segments).logits
    return found


@pytest.fixture(scope="module")
def with_graph(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with the graph of its model in it."""
    found = tmp_path_factory.mktemp("exported") / "cross-encoder"
    shutil.copytree(folder, found)
    network = BertForSequenceClassification.from_pretrained(found, attn_implementation="eager")
    export(logits, network, found / "onnx/model.onnx", "logits")
    return found


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_graph_scores_as_the_weights_do(runtime: str, with_graph: Path) -> None:
    # OpenVINO multiplies in bfloat16, of eight bits, where the CPU can.
    is_coarse = runtime == "openvino" and cpu_flags() & {"avx512_bf16", "amx_bf16"}
    near = 0.05 if is_coarse else 1e-3
    service, many = RerankService(str(with_graph), runtime=runtime), TEXTS * 5
    expected = [by_hand(with_graph, "how many days", text) for text in many]
    assert service.scores("how many days", many) == pytest.approx(expected, abs=near)
    assert service.info()["runtime"] == f"{runtime}: onnx/model.onnx"


def test_a_graph_of_another_cross_encoder_is_refused(with_graph: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(with_graph, other)
    network = BertForSequenceClassification.from_pretrained(other)
    with torch.no_grad():
        network.classifier.weight.neg_()
    network.save_pretrained(other)
    with pytest.raises(ModelError, match=r"model\.onnx are as far as 0\.\d+ from .* of another model"):
        RerankService(str(other), runtime="onnx")


@pytest.mark.model
@pytest.mark.slow
def test_the_reranker_of_the_settings_orders_what_was_found(folder: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    for number, text in enumerate(TEXTS):
        (documents / f"{number}.txt").write_text(text)
    settings = Settings(home=tmp_path / "home", retrieval={"reranker": str(folder)})

    async def found() -> list[Passage]:
        async with open_system(settings, generation=False) as system:
            await system.ingest([documents])
            return await system.retriever.search("how many days", system.principal)

    passages = asyncio.run(found())
    read = {each.chunk.text: dict(each.signals)["rerank"] for each in passages}
    assert read == pytest.approx({text: by_hand(folder, "how many days", text) for text in TEXTS}, abs=1e-5)
    assert list(read) == sorted(TEXTS, key=lambda text: -read[text])


def test_a_reranker_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def opened() -> None:
        async with open_system(Settings(home=tmp_path, retrieval={"reranker": "/nowhere"}), generation=False):
            raise AssertionError("it must not open")

    with pytest.raises(SettingsError, match="no such folder"):
        asyncio.run(opened())
    assert not [*tmp_path.iterdir()]  # nothing was opened that would have to be closed
