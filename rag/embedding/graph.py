"""Models that ONNX Runtime or OpenVINO computes, from a graph that lies in their folder.

Looked for under the names that sentence-transformers gives its exports, which those on model hubs bear too.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rag.embedding.int8 import Features
from rag.errors import ModelError

Arrays = Mapping[str, NDArray[np.int64]]

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
X86 = ("onnx/model_qint8_avx512_vnni.onnx", "onnx/model_qint8_avx512.onnx", "onnx/model_quint8_avx2.onnx")
ARM = ("onnx/model_qint8_arm64.onnx",)
INT8: dict[str, tuple[str, ...]] = {
    "onnx": (*(ARM if platform.machine() in ("aarch64", "arm64") else X86), "onnx/model_quantized.onnx"),
    "openvino": ("openvino/openvino_model_qint8_quantized.xml",),
}
# OpenVINO reads what was exported for ONNX too.
FLOAT32: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx/model.onnx",),
    "openvino": ("openvino/openvino_model.xml", "onnx/model.onnx"),
}
OUTPUTS = ("token_embeddings", "last_hidden_state", "logits")


@dataclass(frozen=True, slots=True)
class Graph:
    """A loaded graph. `name`: how it was computed and from what, as `rag doctor` and an index tell it."""

    name: str
    file: Path
    inputs: tuple[str, ...]
    run: Callable[[Arrays], NDArray[np.float32]]

    def __call__(self, features: Features) -> torch.Tensor:
        """Ids and mask, int64, shape (rows, tokens), to the output: a vector per token, or logits per row."""
        ids = features["input_ids"]
        given = {"token_type_ids": torch.zeros_like(ids), **features}
        return torch.from_numpy(self.run({name: given[name].cpu().numpy() for name in self.inputs}))


class GraphEncoder:
    """Stands where sentence-transformers has its Transformer module: ids and mask to token embeddings."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, features: Features) -> Features:
        return {**features, "token_embeddings": self._graph(features)}


def open_graph(folder: Path, runtime: str, dtype: str, threads: int) -> Graph:
    """The graph of a folder, for the CPU. `dtype`: float32, int8, or auto, which prefers int8.

    Raises ModelError when the runtime is not installed, the folder has no such graph, or it does not load.
    """
    file = choose(folder, runtime, dtype)
    try:
        inputs, run = (with_onnx if runtime == "onnx" else with_openvino)(file, threads)
    except ModuleNotFoundError:
        package = PACKAGES[runtime]
        raise ModelError(
            f"the runtime {runtime} needs {package}: pip install 'permafrost-rag[{runtime}]'"
        ) from None
    except Exception as error:  # the errors of both runtimes have no base of their own
        raise ModelError(f"{file} does not load in {PACKAGES[runtime]}: {first_line(error)}") from None
    return Graph(f"{runtime}: {file.relative_to(folder)}", file, inputs, run)


def choose(folder: Path, runtime: str, dtype: str) -> Path:
    """The first file of the wished kind that is there. Raises ModelError, which names all."""
    names = {"int8": INT8[runtime], "float32": FLOAT32[runtime], "auto": INT8[runtime] + FLOAT32[runtime]}
    if dtype not in names:
        raise ModelError(f"{dtype} is not computed by {PACKAGES[runtime]} here; have int8 and float32")
    for name in names[dtype]:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"{folder} has no graph for {PACKAGES[runtime]}: none of {', '.join(names[dtype])}; export one with "
        "sentence-transformers, or set the runtime to torch"
    )


def with_onnx(file: Path, threads: int) -> tuple[tuple[str, ...], Callable[[Arrays], NDArray[np.float32]]]:
    """The names of the inputs, and what computes the output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores of a busy engine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    output = wanted([each.name for each in session.get_outputs()])
    inputs = tuple(each.name for each in session.get_inputs())
    return inputs, lambda arrays: session.run([output], dict(arrays))[0]


def with_openvino(
    file: Path, threads: int
) -> tuple[tuple[str, ...], Callable[[Arrays], NDArray[np.float32]]]:
    """As with_onnx. Products are in bfloat16 where the CPU has it and the graph is not quantised."""
    # OpenVINO reports to Google Analytics when it is imported; without this module it does not.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    wishes = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(str(file), "CPU", wishes)
    request = model.create_infer_request()
    output = wanted([each.any_name for each in model.outputs])

    def run(arrays: Arrays) -> NDArray[np.float32]:
        # Copied, for the next pass writes over the memory of this one.
        found: Any = request.infer(dict(arrays))[output]
        return np.array(found, dtype=np.float32)

    return tuple(each.any_name for each in model.inputs), run


def wanted(outputs: list[str]) -> str:
    """Which output is read: token vectors or logits by their usual names, else the first."""
    return next((name for name in OUTPUTS if name in outputs), outputs[0])


def first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
