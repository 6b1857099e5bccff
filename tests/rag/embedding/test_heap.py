"""The heap of a process that embeds: passes of one size take no new pages from the system."""

from __future__ import annotations

import os
import subprocess
import sys

PASSES = """
import ctypes, resource, sys, torch
from rag.embedding.heap import keep_freed_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of one size, so that they can be counted
if "keep" in sys.argv:
    assert keep_freed_memory()

def passes(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        parts = [torch.ones(1024, 1536) for _ in range(8)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

passes(10)
print(passes(10))
"""


# As glibc begins: it moves both bounds while a process runs, by what that happens to free.
EAGER = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


def faults(*options: str) -> int:
    command = [sys.executable, "-c", PASSES, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | EAGER)
    return int(done.stdout)


def test_a_pass_takes_its_memory_from_the_one_before() -> None:
    assert faults("keep") < 1_000 < 100_000 < faults()  # of 10 passes with 12,000 pages each
