"""The encoder in eight bits: close to the one in float32, and refused where it cannot run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from rag.embedding import dense
from rag.embedding.dense import DenseEmbedder, cpu_flags
from rag.embedding.int8 import VNNI_FLAGS, Int8Encoder, Int8Linear, obstacle, quantise, quantise_gelu
from rag.errors import ModelError
from rag.models.lockfile import entry, locate

vnni = pytest.mark.skipif(not cpu_flags() & VNNI_FLAGS, reason="the CPU has no VNNI")
TEXTS = [
    "Leave is thirty days.",
    "Der Urlaub beträgt dreißig Tage. " * 60,
    "The coffee machine is cleaned on Fridays by whoever comes first.",
    "x " * 30,
    "Net revenue grew by 9.3 % to 1,204.7 million dollars.",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate(entry("all-minilm-l6-v2"))


@vnni
def test_int8_gives_nearly_the_vectors_of_float32(folder: Path) -> None:
    small, full = (DenseEmbedder(folder, dtype=dtype) for dtype in ("int8", "float32"))
    assert small.dtype == "int8"
    cosines = (small.embed_documents(TEXTS) * full.embed_documents(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.99
    assert small.embed_query(TEXTS[0]) @ full.embed_query(TEXTS[0]) > 0.99


@vnni
def test_what_shares_a_pass_does_not_change_an_int8_vector(folder: Path) -> None:
    embedder = DenseEmbedder(folder, dtype="int8", batch_tokens=100_000)
    together = embedder.embed_documents(TEXTS)
    alone = np.stack([embedder.embed_documents([text])[0] for text in TEXTS])
    # Sums of floats in another order move a byte here and there; the repetitive text feels it most.
    assert (together * alone).sum(axis=1).min() > 0.995


@vnni
@pytest.mark.parametrize(
    ("config", "model"), [(BertConfig, BertModel), (XLMRobertaConfig, XLMRobertaModel)], ids=["bert", "xlm-r"]
)
def test_the_encoder_computes_what_the_library_computes(config: type, model: type) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    library = model(config(vocab_size=100, max_position_embeddings=64, pad_token_id=1, **sizes)).eval()
    ids = torch.randint(2, 100, (5, 12))
    mask = torch.ones_like(ids)
    ids[3, 7:], mask[3, 7:] = 1, 0
    with torch.inference_mode():
        expected = library(input_ids=ids, attention_mask=mask).last_hidden_state
        found = Int8Encoder(library)({"input_ids": ids, "attention_mask": mask})["token_embeddings"]
    cosines = torch.nn.functional.cosine_similarity(found, expected, dim=-1)[mask.bool()]
    assert cosines.min() > 0.995


@vnni
def test_a_layer_gives_nearly_what_it_gives_in_float32() -> None:
    torch.manual_seed(0)
    weight, bias, x, residual = (torch.randn(*shape) for shape in ((48, 32), (48,), (20, 32), (20, 48)))
    # One token a hundred times as large as the others does not blur them.
    x[3] *= 100
    exact, layer = torch.nn.functional.linear(x, weight, bias), Int8Linear(weight, bias)
    for found, expected in (
        (layer(x), exact),
        (layer.added_to(residual, quantise(x.clone())), exact + residual),
    ):
        assert ((found - expected).norm(dim=1) / expected.norm(dim=1)).max() < 0.02


@vnni
def test_a_channel_far_above_the_others_is_smoothed() -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(48, 32), torch.randn(48), torch.randn(20, 32)
    x[:, 5] *= 100
    weight[:, 5] /= 100
    exact = torch.nn.functional.linear(x, weight, bias)
    plain, smoothed = Int8Linear(weight, bias), Int8Linear(weight, bias, x.abs().amax(dim=0))
    errors = [((layer(x) - exact).norm() / exact.norm()).item() for layer in (plain, smoothed)]
    assert errors[1] < 0.02 < 5 * errors[1] < errors[0]


@pytest.mark.parametrize("values", [[0.0, 0.0], [3.0, 7.0], [-5.0, -1.0], [-1.0, 250.0]])
def test_bytes_cover_the_range_of_their_row_and_keep_zero(values: list[float]) -> None:
    tensor = torch.tensor([[*values, 0.0], [0.0, 1e-3, -1e-3]])
    small = quantise(tensor.clone())
    back = (small.bytes.float() - small.zero) * small.scales
    assert small.bytes.dtype == torch.uint8
    assert back[:, 0].tolist()[1] == back[0, 2] == 0
    assert ((back - tensor).abs() <= small.scales / 2 + 1e-9).all()


@pytest.mark.parametrize("largest", [0.1, 1.0, 40.0])
def test_bytes_cover_what_gelu_gives(largest: float) -> None:
    tensor = torch.nn.functional.gelu(torch.linspace(-5, largest, 400))[None, :]
    small = quantise_gelu(tensor.clone())
    back = (small.bytes.float() - small.zero) * small.scales
    assert ((back - tensor).abs() <= small.scales * 0.51).all()


@pytest.mark.parametrize(
    ("model_type", "act", "flags", "reason"),
    [
        ("bert", "gelu", {"avx512_vnni"}, ""),
        ("bert", "gelu", {"avx2"}, "no VNNI"),
        ("modernbert", "gelu", {"avx_vnni"}, "modernbert"),
        ("bert", "relu", {"avx_vnni"}, "relu activation"),
    ],
)
def test_what_cannot_run_in_eight_bits_is_told_why(
    model_type: str, act: str, flags: set[str], reason: str
) -> None:
    encoder = SimpleNamespace(config=SimpleNamespace(model_type=model_type, hidden_act=act))
    problem = obstacle(encoder, frozenset(flags))
    assert reason in problem and bool(problem) == bool(reason)


@pytest.mark.parametrize("cause", ["no VNNI", "come only as close"])
def test_int8_is_refused_when_asked_for_and_left_when_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """A CPU without the instructions, or one whose results are wrong."""
    if cause == "no VNNI":
        monkeypatch.setattr(dense, "cpu_flags", lambda *_: frozenset({"avx2"}))
    else:
        monkeypatch.setattr(dense, "cpu_flags", lambda *_: VNNI_FLAGS)
        monkeypatch.setattr(Int8Linear, "added_to", lambda layer, residual, x: residual)
    monkeypatch.setattr(dense, "choose_dtype", lambda *_: "int8")
    with pytest.raises(ModelError, match=f"{cause}.*float32"):
        DenseEmbedder(folder, dtype="int8")
    left = DenseEmbedder(folder, dtype="auto")
    assert left.dtype == "float32"
    # The canonical first numbers of test_dense.py: it is the float32 encoder that answers.
    vector = left.embed_query("How many days of leave do I have?")
    assert vector[:2].tolist() == pytest.approx([0.0845879, 0.0232580], abs=1e-4)
