"""The dense embedder: a sentence-transformers folder on this machine, never one from a hub."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rag.embedding import plain
from rag.embedding.embedder import Vectors
from rag.embedding.files import kind_of, said
from rag.embedding.graph import Graph, GraphEncoder, open_graph
from rag.embedding.heap import keep_freed_memory
from rag.embedding.int8 import VNNI_FLAGS, Features, Int8Encoder, obstacle, watched
from rag.embedding.model import Model
from rag.embedding.prompts import Prompts, prompts_of
from rag.embedding.tokens import TokenCounter, reading_tokenizer
from rag.errors import ModelError

CACHED_QUERIES = 1024
# Tokens of one forward pass: the layers' outputs for so many stay near a core; a GPU wants more work at once.
BATCH_TOKENS = {"cpu": 512, "cuda": 16_384}
FEWEST_TOKENS = 128  # a pass of less is spent on its hundred calls
CPUINFO = Path("/proc/cpuinfo")
# What models trained with matryoshka losses say of it in their files.
MATRYOSHKA_MARKS = ("matryoshka_dimensions", "matryoshka_dims")

# Eight bits are used only while they keep close to float32 on these, on the CPU at hand.
PROBES = (
    "How many days of annual leave do I have?",
    "Der Dienstwagen darf nur mit Genehmigung privat genutzt werden.",
    "Net revenue for Q3 2024 was $1,204.7 million, up 9.3% year over year, of which 41% came from services.",
    "def area(radius: float) -> float: return 3.14159 * radius ** 2",
    "東京は日本の首都です。",
    "yes",
)
CLOSE_ENOUGH = 0.98


class DenseEmbedder:
    """One model in this process. Not for two threads at once: its owner calls it from one.

    `dimensions`: numbers kept of each vector, made unit length again; 0 keeps all. Raises ModelError when the
    folder holds no model, has fewer dimensions, or cannot run in the wished `dtype` here. `runtime`: torch,
    or onnx and openvino for a graph that lies in the folder. `batch_tokens`: 0 for BATCH_TOKENS.
    `prompts`: what stands before a text; None: as the model's files or its family say.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        dtype: str = "auto",
        dimensions: int = 0,
        threads: int = 0,
        batch_tokens: int = 0,
        runtime: str = "torch",
        prompts: Prompts | None = None,
    ) -> None:
        self.name = name or folder.name
        if (kind := kind_of(folder)) not in (
            "embedder",
            None,
        ):  # a bare network becomes one: the mean of tokens
            raise ModelError(f"{folder} holds a {kind}, no embedder")
        self.device = "cuda" if torch.cuda.is_available() and runtime == "torch" else "cpu"
        keep_freed_memory()
        threads = threads or torch.get_num_threads()
        self._batch_tokens = batch_tokens or BATCH_TOKENS[self.device]
        # Two cores with a pass each do more than two in one pass, which meet after each of its operations;
        # beside other work, which delays one of them, they do more than twice as much. A graph has its own.
        self._at_once = threads if self.device == "cpu" and runtime == "torch" else 1
        self._passes = ThreadPoolExecutor(self._at_once, "embed")
        self._counter, self._tokenizer = TokenCounter(folder), reading_tokenizer(folder)
        self.prompts = prompts or prompts_of(folder)
        self._queries: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        wanted = choose_dtype(dtype, self.device) if runtime == "torch" else "float32"
        model = load(folder, self.device, "float32" if wanted == "int8" else wanted)
        self.library = model.library
        self._pad = model.pad
        self._modules: list[Callable[[Features], Features]] = list(model.modules)
        self.full_dim = model.dim
        self.dim = self._checked(dimensions)
        self.trained_for_truncation = any(mark in MATRYOSHKA_MARKS for mark in marks_of(folder))
        self.dtype = self._in_eight_bits(model.encoder, dtype) if wanted == "int8" else wanted
        if runtime != "torch":
            self.dtype = self._in_a_graph(open_graph(folder, runtime, dtype, threads))

    @property
    def max_tokens(self) -> int:
        return self._counter.max_tokens

    def embed_query(self, text: str, *, tenant: str | None = None) -> Vectors:
        """The vector of a question. With a tenant it is remembered, for that tenant only."""
        key = (tenant or "", text)
        if tenant is None or key not in self._queries:
            vector: Vectors = self._forward(self._ids([text], "query"))[0]
            if tenant is None:
                return vector
            self._queries[key] = vector
            if len(self._queries) > CACHED_QUERIES:
                self._queries.popitem(last=False)
        self._queries.move_to_end(key)
        return self._queries[key]

    def embed_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None, batch_tokens: int = 0
    ) -> Vectors:
        """The vectors of passages in their order, computed by length so that little padding is.

        `pause` is called whenever each core has made a pass.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        ids = self._ids(texts, "document")
        share = max(FEWEST_TOKENS, -(-sum(map(len, ids)) // self._at_once))
        waiting = batches([len(each) for each in ids], min(batch_tokens or self._batch_tokens, share))
        while several := list(islice(waiting, self._at_once)):
            passes = self._passes.map(self._forward, [[ids[index] for index in batch] for batch in several])
            for batch, found in zip(several, passes, strict=True):
                vectors[batch] = found
            if pause:
                pause()
        return vectors

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._counter.count(texts)

    def _checked(self, dimensions: int) -> int:
        if dimensions > self.full_dim:
            raise ModelError(
                f"embedding.dimensions is {dimensions} and the vectors of {self.name} have {self.full_dim}; "
                "set at most that, or 0 for all"
            )
        return dimensions or self.full_dim

    def _in_eight_bits(self, encoder: Any, wish: str) -> str:
        """Put the int8 encoder in place where it runs and agrees with the float32 one; the dtype in use."""
        problem = obstacle(encoder, cpu_flags())
        if not problem:
            full = self._modules[0]
            with watched(encoder) as peaks:
                exact = self._probed()
            near = self._put_in_place(Int8Encoder(encoder, peaks), exact)
            if near >= CLOSE_ENOUGH:
                return "int8"
            self._modules[0] = full
            problem = f"its int8 vectors come only as close as cosine {near:.3f} to the float32 ones here"
        if wish == "int8":
            raise ModelError(f"{self.name} does not run in int8: {problem}; set embedding.dtype to float32")
        return "float32"

    def _in_a_graph(self, graph: Graph) -> str:
        """Put a graph in the encoder's place; its name. Raises ModelError when it gives other vectors."""
        near = self._put_in_place(GraphEncoder(graph), self._probed())
        if near < CLOSE_ENOUGH:
            raise ModelError(
                f"the vectors of {graph.file} come only as close as cosine {near:.3f} to those of the "
                f"folder's own weights, {CLOSE_ENOUGH} is asked: it is of another model, or of too few bits"
            )
        return graph.name

    def _put_in_place(self, encoder: Callable[[Features], Features], exact: Vectors) -> float:
        """Let another encoder compute; the least cosine of its vectors of PROBES to the exact ones."""
        self._modules[0] = encoder
        return float((self._probed() * exact).sum(axis=1).min())

    def _probed(self) -> Vectors:
        return self._forward(self._ids(PROBES, "document"))

    def _ids(self, texts: Sequence[str], side: str) -> list[list[int]]:
        """Token ids as the model reads them: its prompt for that side first, cut to its length."""
        prompt = self.prompts.before(side)
        return [each.ids for each in self._tokenizer.encode_batch_fast([prompt + text for text in texts])]

    def _forward(self, ids: Sequence[Sequence[int]]) -> Vectors:
        # Beside a busy engine, threads wait for each other: a question took 239 ms with two, 19 with one.
        torch.set_num_threads(1)
        with torch.inference_mode():
            kept = self._encode(ids).float()[:, : self.dim]
            # The model normalises too, but in its own dtype: bfloat16 leaves lengths 0.4 % off.
            vectors: Vectors = torch.nn.functional.normalize(kept, dim=1).cpu().numpy()
        return vectors

    def _encode(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """What the model's modules make of token ids, shape (len(ids), full_dim)."""
        longest = max(map(len, ids))
        padded = torch.tensor([[*row, *[self._pad] * (longest - len(row))] for row in ids])
        lengths = torch.tensor([len(row) for row in ids])
        mask = (torch.arange(longest)[None, :] < lengths[:, None]).long()
        features = {"input_ids": padded.to(self.device), "attention_mask": mask.to(self.device)}
        for module in self._modules:
            features = module(features)
        return features["sentence_embedding"]


def load(folder: Path, device: str, dtype: str) -> Model:
    """The model of a sentence-transformers folder. Raises ModelError when it is none."""
    if device == "cpu" and dtype == "float32" and (model := plain.load(folder)):
        return model
    # Five seconds of imports, for the models that need them.
    from rag.embedding import library

    return library.load(folder, device, dtype)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by length, longest first; rows times longest row stay within `batch_tokens`."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def choose_dtype(wish: str, device: str, cpuinfo: Path = CPUINFO) -> str:
    """`auto`: bfloat16 where the hardware multiplies it (AMX, a GPU), int8 with VNNI, else float32."""
    if wish != "auto":
        return wish
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    flags = cpu_flags(cpuinfo)
    if "amx_bf16" in flags:
        return "bfloat16"
    return "int8" if flags & VNNI_FLAGS else "float32"


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What Linux says that the CPU can; empty where it does not say."""
    return frozenset(cpuinfo.read_text().split()) if cpuinfo.exists() else frozenset()


def marks_of(folder: Path) -> set[str]:
    """The names of the settings in a model's own files."""
    files = (folder / "config.json", folder / "config_sentence_transformers.json")
    return {name for file in files for name in said(file)}
