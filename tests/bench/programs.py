"""llama.cpp's own server and bench, built from the same source and with the same flags as the library we run.

`python tests/bench/programs.py` builds them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".setup" / "lock" / "llama.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "permafrost" / "bench"
PROGRAMS = ("llama-server", "llama-bench", "llama-batched-bench")
EXAMPLE = "example_server.py"  # of llama-cpp-python, kept beside the programs
PARTS = {"TOOLS": "ON", "SERVER": "ON", "UI": "OFF", "TESTS": "OFF", "EXAMPLES": "OFF", "MTMD": "OFF"}


def binary(name: str) -> Path:
    """A program of llama.cpp; built at the first call, which takes some minutes."""
    folder = peers_folder()
    program = folder / "bin" / name
    if not program.exists():
        build(folder)
    return program


def example_server() -> Path:
    """The batching server among the examples of llama-cpp-python."""
    binary(PROGRAMS[0])
    return peers_folder() / EXAMPLE


def peers_folder() -> Path:
    """Where the programs are kept: a folder per source, flags and CPU."""
    cpu = " ".join(sorted(_set_up().cpu_flags()))
    facts = "\n".join([LOCK.read_text(), *flags(), cpu]).replace(str(ROOT), "")
    return CACHE / "peers" / hashlib.sha256(facts.encode()).hexdigest()[:16]


def flags() -> list[str]:
    """The wheel's CMake flags for this machine, but for the parts that it leaves out."""
    ours = [flag for flag in _set_up().plan_here(False).cmake if "LLAMA_BUILD" not in flag]
    ours = [flag for flag in ours if "lean.cmake" not in flag and "LLAVA" not in flag]
    parts = [f"-DLLAMA_BUILD_{part}={value}" for part, value in PARTS.items()]
    return ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF", *parts, *ours]


def build(folder: Path) -> None:
    """Compile PROGRAMS into the folder, which appears only when all is done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        tree = configure(Path(made))
        command = ["cmake", "--build", str(tree), "--target", *PROGRAMS]
        subprocess.run([*command, "-j", str(len(os.sched_getaffinity(0)))], check=True)
        part = Path(made) / "part"
        (part / "bin").mkdir(parents=True)
        for name in PROGRAMS:
            shutil.move(tree / "bin" / name, part / "bin" / name)
        [example] = Path(made).glob("llama_cpp_python-*/examples/server/server.py")
        shutil.copy(example, part / EXAMPLE)
        part.rename(folder)


def configure(folder: Path) -> Path:
    """Fetch the source, held against its hash, and prepare the build tree, which is returned."""
    tree = folder / "build"
    command = ["cmake", "-S", str(source(folder) / "vendor" / "llama.cpp"), "-B", str(tree), "-G", "Ninja"]
    subprocess.run([*command, *flags()], check=True)
    return tree


def source(folder: Path) -> Path:
    """The unpacked source distribution of the pinned llama-cpp-python."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # The build requirements are here already: pip only asks for the metadata.
    pip += ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "-d", str(folder)]
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    subprocess.run([*pip, "-r", str(LOCK)], check=True, env=os.environ | {"PATH": path})
    [archive] = folder.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def llama_bench(
    model: Path,
    *,
    prompt: int = 512,
    answer: int = 128,
    depth: int = 0,
    flash: bool = False,
    threads: int = 0,
    repack: bool = True,
) -> dict[str, float]:
    """Tokens/s of llama-bench: `prefill` and `decode`, behind that depth."""
    command = [
        str(binary("llama-bench")),
        "-m",
        str(model),
        "-p",
        str(prompt),
        "-n",
        str(answer),
        "-o",
        "json",
    ]
    command += ["-d", str(depth), "-fa", str(int(flash)), "-t", str(threads or len(os.sched_getaffinity(0)))]
    command += ["--repack", str(int(repack))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    return {"prefill" if row["n_prompt"] else "decode": float(row["avg_ts"]) for row in rows}


def _set_up() -> Any:
    spec = importlib.util.spec_from_file_location("permafrost_setup", ROOT / ".setup" / "setup.py")
    assert spec and spec.loader
    module = sys.modules["permafrost_setup"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    for program in PROGRAMS:
        print(binary(program))
