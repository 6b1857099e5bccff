"""The GPUs that this build of llama.cpp can use, and what goes there."""

from __future__ import annotations

import ctypes
from typing import Literal

from llama_cpp import _ggml

from rag.engine.offload import Device, Offload, plan
from rag.models.header import Header

GPU_KINDS = (1, 2)  # dedicated and integrated, in ggml-backend.h


def offload(header: Header, requested: int | Literal["auto", "all"], *, cells: int) -> Offload:
    """How many layers of a model go to the GPUs of this machine beside `cells` cells of KV."""
    return plan(header, requested, devices(), cells=cells)


def devices() -> list[Device]:
    """Every GPU with its free memory; none on a build without one."""
    lib, size, handle = _ggml.libggml, ctypes.c_size_t, ctypes.c_void_p
    lib.ggml_backend_dev_count.restype = size
    lib.ggml_backend_dev_get.argtypes, lib.ggml_backend_dev_get.restype = [size], handle
    lib.ggml_backend_dev_type.argtypes = [handle]
    lib.ggml_backend_dev_description.argtypes = [handle]
    lib.ggml_backend_dev_description.restype = ctypes.c_char_p
    lib.ggml_backend_dev_memory.argtypes = [handle, ctypes.POINTER(size), ctypes.POINTER(size)]
    lib.ggml_backend_dev_memory.restype = None
    found = []
    for index in range(lib.ggml_backend_dev_count()):
        device, free, total = lib.ggml_backend_dev_get(index), size(), size()
        if lib.ggml_backend_dev_type(device) in GPU_KINDS:
            lib.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            found.append(Device(lib.ggml_backend_dev_description(device).decode(), free.value))
    return found
