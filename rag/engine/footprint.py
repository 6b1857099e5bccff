"""What a model asks of a machine, from its file; and what share of a machine's limits its speeds are."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from rag.models.gguf import read
from rag.models.header import describe, read_header
from rag.settings import EngineSettings

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
PROCESS_BYTES = 100_000_000  # Python, numpy and llama.cpp before a model is loaded: 87 MB measured
ACTIVATIONS = 8  # rows as wide as the model that a layer needs at once
MICRO_BATCH = 512  # the largest that tuning chooses
LOGIT_ROWS = 16  # of each slot: its newest token and the guesses behind it


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model costs: bytes of weights that a decode step of one sequence reads, parameters that a token
    of a prompt is multiplied with, and bytes of KV (16 bit) of a token."""

    step_bytes: int
    prompt_parameters: int
    kv_bytes: int

    def bandwidth_share(self, decode_tps: float, depth: int, bandwidth_gbs: float) -> float:
        """MBU = (weights + depth * KV) * tokens/s / bandwidth."""
        return (self.step_bytes + depth * self.kv_bytes) * decode_tps / (bandwidth_gbs * 1e9)

    def compute_share(self, prefill_tps: float, gflops: float) -> float:
        """MFU = 2 * parameters * tokens/s / FLOP/s, without the products of attention itself.

        Above 1 it means that llama.cpp's integer kernels beat float32.
        """
        return 2 * self.prompt_parameters * prefill_tps / (gflops * 1e9)


def footprint(path: Path) -> Footprint:
    """The footprint of a GGUF file, from its header. Raises ModelError if it is none."""
    gguf = read(path)
    header = describe(gguf)
    active = header.experts_used / header.experts if header.experts else 1.0
    tied = not any(tensor.name == OUTPUT for tensor in gguf.tensors)
    step = parameters = 0.0
    for tensor in gguf.tensors:
        part = active if "_exps." in tensor.name else 1.0
        if tensor.name != EMBEDDING or tied:  # of an untied embedding a step reads one row
            step += part * tensor.bytes
        # The last product is made for the last token of a prompt only.
        if len(tensor.shape) > 1 and tensor.name not in (EMBEDDING, OUTPUT):
            parameters += part * prod(tensor.shape)
    return Footprint(round(step), round(parameters), header.kv_bytes_per_token)


def memory_bytes(path: Path, settings: EngineSettings) -> int:
    """What an engine for a GGUF file will take at most: weights, KV of all slots, KV kept for later prompts,
    llama.cpp's buffers, and the process. All in host memory, as without a GPU.

    Pages of the file that lie in memory beside repacked weights are not counted: the system takes them back.
    Raises ModelError if the file is none.
    """
    header = read_header(path)
    context = min(settings.context, header.context or settings.context)
    kv = header.kv_bytes_per_token * context * settings.slots
    micro_batch = settings.micro_batch or MICRO_BATCH
    # Without flash attention a layer's scores are a float for every token, position and head.
    floats = micro_batch * (header.heads * context + ACTIVATIONS * header.width)
    floats += LOGIT_ROWS * settings.slots * header.vocabulary
    return header.bytes + kv + settings.kv_memory_bytes + 4 * floats + PROCESS_BYTES
