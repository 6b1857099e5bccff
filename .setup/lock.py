"""Writes the hash-locked requirement files in .setup/lock from pyproject.toml. Run it with `make lock`.

One resolution for Python 3.11 and newer on x86-64 and aarch64 Linux, then cut into the files that set-up
installs one after another. torch is apart because CPU machines take its CPU build, llama-cpp-python because
it is compiled here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / ".setup" / "lock"
BUILD = [
    "cmake>=3.21,<4",
    "hatchling",
    "editables",
    "ninja",
    "scikit-build-core>=0.9.2",
    "setuptools",
    "wheel",
]
OPTIONS = ("ocr", "onnx", "openvino", "postgres", "ray", "s3", "tracing")
APART = {"torch", "llama-cpp-python"}
# sha256 of PyTorch's CPU builds, which are in no index that this resolution reads.
TORCH_CPU = {"2.13.0+cpu": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"]}
PLATFORMS = "sys_platform == 'linux' and (platform_machine == 'x86_64' or platform_machine == 'aarch64')"


def resolve(
    requirements: list[str], *, deps: bool = True, constraints: Path | None = None
) -> dict[str, list[str]]:
    """Name -> its blocks (requirement line with hashes) of one universal resolution."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet", "-"]
    command += [] if deps else ["--no-deps"]
    command += ["--constraint", str(constraints)] if constraints else []
    guarded = "\n".join(f"{line} ; {PLATFORMS}" for line in requirements)
    text = subprocess.run(command, input=guarded, capture_output=True, text=True, check=True).stdout
    blocks: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        blocks.setdefault(re.split(r"[=\s]", block, maxsplit=1)[0], []).append(block)
    return blocks


def write(name: str, blocks: dict[str, list[str]], *, without: set[str]) -> set[str]:
    """One file of the lock; returns the names in it."""
    names = set(blocks) - without
    lines = [block for key in sorted(names) for block in blocks[key]]
    (LOCK / name).write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(names)} packages")
    return names


def torch_cpu() -> str:
    """The CPU build under its own version, so that pip cannot mistake the ordinary wheel for it."""
    [(version, hashes)] = TORCH_CPU.items()
    return f"torch=={version}" + "".join(f" \\\n    --hash=sha256:{h}" for h in hashes)


def main() -> None:
    LOCK.mkdir(exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    default: list[str] = project["dependencies"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    added = [
        line
        for name in ("ocr", "onnx", "openvino", "ray", "postgres", "s3", "tracing", "dev")
        for line in extras[name]
    ]
    whole = resolve([*default, *added, *BUILD])
    pins = LOCK / "pins.tmp"
    pins.write_text("\n".join(block.split(" \\")[0] for blocks in whole.values() for block in blocks) + "\n")

    def part(requirements: list[str]) -> dict[str, list[str]]:
        return {name: whole[name] for name in resolve(requirements, constraints=pins)}

    cpu_only = part([line for line in default if not line.startswith(("torch", "sentence-transformers"))])
    torch = part(["torch==2.13.0"])
    cuda = {n for n in torch if n.startswith(("nvidia-", "cuda-", "triton"))}
    base = {**part(default), **cpu_only}
    have = write("default.txt", base, without=APART | cuda)
    write("torch-cuda.txt", torch, without=APART | have)
    write("torch.txt", {"torch": whole["torch"]}, without=set())
    write("torch-cpu.txt", {"torch": [torch_cpu()]}, without=set())
    write("llama.txt", {"llama-cpp-python": whole["llama-cpp-python"]}, without=set())
    write("build.txt", part(BUILD), without=set())
    write("offline.txt", resolve(extras["offline"], deps=False), without=set())
    for name in (*OPTIONS, "dev"):
        write(f"{name}.txt", part(extras[name]), without=have | APART | cuda)
    pins.unlink()


if __name__ == "__main__":
    main()
