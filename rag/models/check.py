"""Does this llama.cpp run this model on this CPU? A child is asked, because the answer may be a crash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rag.errors import ModelError
from rag.models.lockfile import Entry
from rag.remembered import recall, remember
from rag.throwaway import Ending, run
from rag.workers import how_it_ended

TRIAL_TIMEOUT_S = 300.0
# What holds for a build and a CPU holds for every home: beside the build, the next home starts at once.
INSTALLED = Path(sys.prefix) / "share" / "permafrost"
FIX = "rebuild llama-cpp-python with `make setup`, using GCC 14 or newer, or clang"


@dataclass(frozen=True, slots=True)
class Flags:
    """How to load a model here. `note` says what was wrong with the faster way, and the fix."""

    use_extra_bufts: bool
    note: str = ""


Runner = Callable[[Path, bool], Ending]


def choose(
    entry: Entry, path: Path, home: Path, *, trial: Runner | None = None, installed: Path = INSTALLED
) -> Flags:
    """The fastest flags with which the model decodes a whole batch without a crash.

    Remembered in `checks.json` of the home and, where that may be written, of the installation, for this
    model, build and CPU. Raises ModelError if nothing works.
    """
    key = fingerprint(entry)
    files = [home / "checks.json", installed / "checks.json"]
    for file in files:
        if key in (known := recall(file)):
            return Flags(**known[key])
    flags = _try(path, trial or run_trial)
    for file in files:
        with contextlib.suppress(OSError):  # forgetting only costs a second trial
            remember(file, key, asdict(flags))
    return flags


def run_trial(path: Path, extra_bufts: bool) -> Ending:
    """Run the real trial in a child of its own."""
    flags = ["--extra-bufts"] if extra_bufts else []
    try:
        return run([sys.executable, "-m", "rag.models.trial", str(path), *flags], timeout_s=TRIAL_TIMEOUT_S)
    except TimeoutError:
        return Ending(1, last_words=f"no batch was decoded within {TRIAL_TIMEOUT_S:g} s")


def fingerprint(entry: Entry) -> str:
    """What the outcome of a trial depends on: the model, the build and the CPU."""
    return hashlib.sha256("\n".join([entry.sha256, _build(), _cpu()]).encode()).hexdigest()


def _try(path: Path, trial: Runner) -> Flags:
    fast = trial(path, True)
    if fast.status == 0:
        return Flags(use_extra_bufts=True)
    if fast.status > 0:
        raise ModelError(f"{path} cannot be used: {fast.why}")
    safe = trial(path, False)
    if safe.status == 0:
        return Flags(
            use_extra_bufts=False,
            note="this build of llama.cpp crashes on this CPU with its fastest kernels "
            f"({how_it_ended(fast.status)}); slower ones are used meanwhile: {FIX}",
        )
    raise ModelError(
        f"this build of llama.cpp cannot run {path.name} on this CPU: with its fastest kernels "
        f"{how_it_ended(fast.status)}, without them {safe.why}; {FIX}"
    )


def _build() -> str:
    try:
        release = version("llama-cpp-python")
    except PackageNotFoundError:
        raise ModelError("llama-cpp-python is not installed; run `make setup`") from None
    spec = find_spec("llama_cpp")  # found, not imported: the caller may be a process without native code
    folders = list(spec.submodule_search_locations or []) if spec else []
    libraries = sorted(library for folder in folders for library in Path(folder, "lib").glob("lib*.so"))
    return " ".join([release, *(hashlib.sha256(library.read_bytes()).hexdigest() for library in libraries)])


def _cpu() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
        # aarch64 writes Features and CPU part where x86 writes flags and model name.
        wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
        return "\n".join(line for line in lines if line.startswith(wanted))
    return os.uname().machine
