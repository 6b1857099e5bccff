"""Does this llama.cpp run this model on this CPU? A child is asked, because the answer may be a crash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag.errors import ModelError
from rag.models.lockfile import Entry
from rag.workers import ENVIRONMENT, how_it_ended

TRIAL_TIMEOUT_S = 300.0
FIX = "rebuild llama-cpp-python with `make setup`, using GCC 14 or newer, or clang"


@dataclass(frozen=True, slots=True)
class Flags:
    """How to load a model here. `note` says what was wrong with the faster way, and the fix."""

    use_extra_bufts: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a trial child ended: `status` as of a subprocess (negative: killed by that signal)."""

    status: int
    message: str = ""


Runner = Callable[[Path, bool], Trial]


def choose(entry: Entry, path: Path, home: Path, *, run: Runner | None = None) -> Flags:
    """The fastest flags with which the model decodes a whole batch without a crash.

    Remembered in `checks.json` of the home for this model, build and CPU. Raises ModelError if nothing works.
    """
    key = fingerprint(entry)
    file = home / "checks.json"
    known = _read(file)
    if key in known:
        return Flags(**known[key])
    flags = _try(path, run or run_trial)
    _write(file, {**known, key: asdict(flags)})
    return flags


def run_trial(path: Path, extra_bufts: bool) -> Trial:
    """Run the real trial in a child of its own."""
    flags = ["--extra-bufts"] if extra_bufts else []
    return run_child([sys.executable, "-m", "rag.models.trial", str(path), *flags])


def run_child(command: list[str]) -> Trial:
    """Run a command and report how it ended, with the last line it wrote to standard error."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT | os.environ,
            timeout=TRIAL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Trial(1, f"no batch was decoded within {TRIAL_TIMEOUT_S:g} s")
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return Trial(done.returncode, lines[-1] if lines else "")


def fingerprint(entry: Entry) -> str:
    """What the outcome of a trial depends on: the model, the build and the CPU."""
    return hashlib.sha256("\n".join([entry.sha256, _build(), _cpu()]).encode()).hexdigest()


def _try(path: Path, run: Runner) -> Flags:
    fast = run(path, True)
    if fast.status == 0:
        return Flags(use_extra_bufts=True)
    if fast.status > 0:
        raise ModelError(f"{path} cannot be used: {fast.message or how_it_ended(fast.status)}")
    safe = run(path, False)
    if safe.status == 0:
        return Flags(
            use_extra_bufts=False,
            note="this build of llama.cpp crashes on this CPU with its fastest kernels "
            f"({how_it_ended(fast.status)}); slower ones are used meanwhile: {FIX}",
        )
    ending = safe.message if safe.status > 0 and safe.message else how_it_ended(safe.status)
    raise ModelError(
        f"this build of llama.cpp cannot run {path.name} on this CPU: with its fastest kernels "
        f"{how_it_ended(fast.status)}, without them {ending}; {FIX}"
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


def _read(file: Path) -> dict[str, dict[str, Any]]:
    # A damaged or unreadable memory only costs a second trial.
    with contextlib.suppress(OSError, ValueError):
        known: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))
        return known
    return {}


def _write(file: Path, known: dict[str, dict[str, Any]]) -> None:
    fresh = file.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(known, indent=1), "utf-8")
        fresh.replace(file)
