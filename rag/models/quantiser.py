"""The throw-away child of quantise.py and parts.py: `path target kind threads`; exits 0, or says why not.

The kind COPY leaves the weights as they are and makes one file of a model's parts.
"""

from __future__ import annotations

import ctypes
import os
import sys

import llama_cpp as llama

from rag.models.parts import COPY
from rag.models.quantise import KINDS


def main() -> None:
    """Write the model at `path` to `target`, in another quantisation or as it is."""
    path, target, kind, threads = sys.argv[1:5]
    params = llama.llama_model_quantize_default_params()
    if kind == COPY:
        params.only_copy = True
    else:
        params.ftype = KINDS[kind]
    params.nthread = int(threads) or len(os.sched_getaffinity(0))
    # Quantised weights may be quantised again: worse than from the original, and the entry says so.
    params.allow_requantize = True
    if status := llama.llama_model_quantize(path.encode(), target.encode(), ctypes.byref(params)):
        sys.exit(f"llama.cpp refused (status {status})")


if __name__ == "__main__":
    main()
