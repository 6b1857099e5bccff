"""Sets up .venv: checks the machine, installs the locked packages, compiles llama-cpp-python safely.

Standard library only, since it runs before anything is installed. Everything that can fail for lack of a
tool, a newer Python or disk space is checked in the first second.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / ".setup" / "lock"
VENV = ROOT / ".venv"
STAMP = VENV / "ready"
PIP = [str(VENV / "bin" / "python"), "-m", "pip", "-qq", "--disable-pip-version-check"]
OLDEST_PYTHON = (3, 11)
DISK_BYTES = 4 * 1024**3
DISK_BYTES_CUDA = 14 * 1024**3
NO_GPU = ("", "0")
GPUS = {
    "cuda": ("-DGGML_CUDA=on", "nvcc", "the CUDA toolkit, with nvcc on the PATH"),
    "vulkan": ("-DGGML_VULKAN=on", "glslc", "`apt-get install glslc libvulkan-dev spirv-headers`"),
    "metal": ("-DGGML_METAL=on", "", "macOS, for which the lock holds no packages yet: leave GPU away"),
}
# Only the library is used: leaving the rest out saves two thirds of the compile time.
LEAN = ["-DLLAVA_BUILD=OFF", f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={ROOT / '.setup' / 'lean.cmake'}"]
LEAN += [f"-DLLAMA_BUILD_{part}=OFF" for part in ("TOOLS", "SERVER", "TESTS", "EXAMPLES")]


class SetupError(Exception):
    """One sentence: what is missing and how to get it."""


@dataclass(frozen=True)
class Plan:
    """How llama-cpp-python is compiled here, and why."""

    cmake: tuple[str, ...]
    why: str


def check_machine(
    *,
    version: tuple[int, ...] = sys.version_info[:3],
    which: Callable[[str], str | None] = shutil.which,
    free_bytes: int | None = None,
    has_venv: bool | None = None,
    gpu: str = "",
) -> None:
    """Raise SetupError for whatever would stop set-up minutes from now."""
    check_gpu(gpu, which)
    if version < OLDEST_PYTHON:
        have = ".".join(map(str, version))
        raise SetupError(
            f"Python {have} is too old: install Python 3.11 or newer, or run `make PYTHON=python3.12`"
        )
    if sys.platform != "linux":
        raise SetupError(
            f"{sys.platform} is not supported: the lock holds Linux packages; use docker/ on other systems"
        )
    if not (which("c++") or which("g++") or which("clang++")):
        raise SetupError("no C++ compiler found: install one with `apt-get install build-essential`")
    if has_venv is None:
        has_venv = (
            subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode
            == 0
        )
    if not has_venv:
        raise SetupError("this Python cannot make virtual environments: `apt-get install python3-venv`")
    need = DISK_BYTES_CUDA if gpu == "cuda" else DISK_BYTES
    free = shutil.disk_usage(ROOT).free if free_bytes is None else free_bytes
    if free < need:
        raise SetupError(
            f"{free / 1024**3:.1f} GiB free where {ROOT} lies, set-up needs {need / 1024**3:.0f}: make room"
        )


def gpu_named(text: str) -> str:
    """Which of GPUS the variable GPU asks for, "" for none. Raises SetupError that names the choices."""
    if text in NO_GPU:
        return ""
    name = "cuda" if text == "1" else text.lower()
    if name not in GPUS:
        raise SetupError(f"GPU={text} is unknown: choose {', '.join(GPUS)} (1 is cuda), or leave it away")
    return name


def check_gpu(gpu: str, which: Callable[[str], str | None]) -> None:
    """Raise SetupError for a kind of GPU whose code cannot be compiled here."""
    if not gpu:
        return
    _, tool, need = GPUS[gpu]
    # CUDACXX is CMake's own way to name an nvcc that is not on the PATH.
    found = sys.platform == "darwin" if gpu == "metal" else which(tool)
    if not found and not (gpu == "cuda" and os.environ.get("CUDACXX")):
        raise SetupError(f"GPU={gpu} needs {need}")


def plan(*, compiler: str, cpu_flags: set[str], header: Path, gpu: str = "") -> Plan:
    """The CMake arguments for this compiler (its --version text), CPU and kind of GPU."""
    extra = [GPUS[gpu][0]] if gpu else []
    gcc = (
        None
        if "clang" in compiler
        else re.search(r"(?:gcc|g\+\+|c\+\+)[^\n]*?(\d+)\.\d+", compiler, re.IGNORECASE)
    )
    if "amx_tile" not in cpu_flags:
        return Plan((*LEAN, *extra), "no AMX on this CPU, nothing to work around")
    if gcc is None or int(gcc[1]) >= 14:
        return Plan((*LEAN, *extra), "AMX on, the compiler handles it")
    include = f'-DCMAKE_CXX_FLAGS=-include "{header}"'
    return Plan((*LEAN, *extra, include), f"AMX on, with the ldtilecfg fix that GCC {gcc[1]} needs")


def plan_here(gpu: str) -> Plan:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or "clang++"
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return plan(compiler=text, cpu_flags=cpu_flags(), header=ROOT / ".setup" / "amx.h", gpu=gpu)


def cpu_flags(text: str | None = None) -> set[str]:
    """The flags of the first CPU in /proc/cpuinfo ("Features" on Arm)."""
    text = Path("/proc/cpuinfo").read_text() if text is None else text
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def wheel_folder(chosen: Plan) -> Path:
    """Where a compiled wheel is kept, outside the checkout: a folder per source, CPU, C library and plan."""
    lock = (LOCK / "llama.txt").read_text()
    ours = [(ROOT / ".setup" / name).read_text() for name in ("amx.h", "lean.cmake")]
    flags = " ".join(arg.replace(str(ROOT), "") for arg in chosen.cmake)
    facts = [lock, *ours, flags, platform.machine(), " ".join(sorted(cpu_flags())), platform.libc_ver()[1]]
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "permafrost" / "wheels" / key


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:4.0f} s] {text}", flush=True)


def pip(*arguments: str) -> None:
    """Run pip in the virtual environment; its errors are shown, its chatter is not."""
    if subprocess.run([*PIP, *arguments]).returncode != 0:
        raise SetupError(
            "pip failed, its reason stands above; set-up can be run again and goes on where it stopped"
        )


def install(name: str) -> None:
    # A few packages come as source only: they are built with the locked setuptools, not a downloaded one.
    pip(
        "install",
        "--require-hashes",
        "--no-deps",
        "--no-compile",
        "--no-build-isolation",
        "-r",
        str(LOCK / name),
    )


def start_compile(chosen: Plan, folder: Path) -> subprocess.Popen[bytes]:
    """Begin to compile in the background; the log lies beside the wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    cmake = ";".join(argument.replace(";", r"\;") for argument in chosen.cmake)
    path = f"{VENV / 'bin'}:{os.environ.get('PATH', '')}"
    command = [str(VENV / "bin" / "python"), "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--verbose"]
    command += ["--no-build-isolation", "--require-hashes", "-w", str(folder), "-r", str(LOCK / "llama.txt")]
    with (folder / "build.log").open("wb") as log:
        environment = {**os.environ, "SKBUILD_CMAKE_ARGS": cmake, "PATH": path}
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def wait_for_compile(process: subprocess.Popen[bytes], folder: Path) -> Path:
    """Wait, saying how far it is; the wheel. Raises SetupError with the end of the log."""
    log = folder / "build.log"
    said = time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - said > 30:
            said = time.monotonic()
            steps = re.findall(r"\[(\d+)/(\d+)\]", log.read_text(errors="replace"))
            say(
                f"compiling llama.cpp, step {steps[-1][0]} of {steps[-1][1]}"
                if steps
                else "compiling llama.cpp"
            )
    wheels = sorted(folder.glob("llama_cpp_python-*.whl"))
    if process.returncode != 0 or not wheels:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SetupError(f"llama-cpp-python did not compile; the end of {log}:\n{tail}")
    return wheels[0]


def wanted(gpu: str, dev: bool) -> str:
    """What a finished set-up is bound to: locks, plan, Python and place."""
    locks = b"".join(path.read_bytes() for path in sorted(LOCK.glob("*.txt")))
    text = f"{sys.version}|{plan_here(gpu)}|{dev}|{ROOT}|{(ROOT / 'pyproject.toml').read_text()}"
    return hashlib.sha256(locks + text.encode() + Path(__file__).read_bytes()).hexdigest()


def install_torch(index: str, *, cuda: bool) -> None:
    """The CPU build where pip can reach one; else the ordinary wheel and the CUDA packages it links to."""
    say("installing torch")
    command = [*PIP, "install", "--require-hashes", "--no-deps", "-r", str(LOCK / "torch-cpu.txt")]
    command += ["--extra-index-url", index] if index else []
    if not cuda and subprocess.run(command, capture_output=True).returncode == 0:
        return
    say("taking the ordinary torch and the CUDA packages it links to: gigabytes (README: TORCH_INDEX)")
    check_machine(gpu="cuda")
    install("torch.txt")
    install("torch-cuda.txt")


def compile_bytecode() -> None:
    """On all cores, and only what runs: pip would take twice as long, without it every start pays anew."""
    skipped = r"/(tests?|testing|spacy|numba|llvmlite|thinc|blis|mypy)/"
    command = [str(VENV / "bin" / "python"), "-m", "compileall", "-qq", "-j", "0", "-x", skipped]
    # Some packages carry templates that are no Python; that they do not compile means nothing.
    subprocess.run([*command, str(VENV / "lib")], stdout=subprocess.DEVNULL)


def set_up(*, gpu: str, index: str, dev: bool) -> None:
    """Everything, in the order that hides downloads behind the compiler."""
    chosen = plan_here(gpu)
    if not (VENV / "bin" / "python").exists():
        say(f"making {VENV.name} with Python {platform.python_version()}")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    install("build.txt")
    folder = wheel_folder(chosen)
    compiled = sorted(folder.glob("llama_cpp_python-*.whl"))
    process = None if compiled else start_compile(chosen, folder)
    say("using the llama.cpp compiled before" if compiled else f"compiling llama.cpp: {chosen.why}")
    try:
        install_torch(index, cuda=gpu == "cuda")
        say("installing the other packages")
        install("default.txt")
        install("offline.txt")
        if dev:
            install("dev.txt")
        wheel = compiled[0] if process is None else wait_for_compile(process, folder)
        pip("install", "--no-deps", "--no-compile", "--force-reinstall", str(wheel))
        pip("install", "--no-deps", "--no-compile", "--no-build-isolation", "--editable", str(ROOT))
        say("compiling bytecode")
        compile_bytecode()
    finally:
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)  # pip, ninja and every compiler


def main() -> int:
    # An exception, so that the compiler is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    dev, index = os.environ.get("DEV", "1") != "0", os.environ.get("TORCH_INDEX", "")
    try:
        gpu = gpu_named(os.environ.get("GPU", ""))
        if STAMP.exists() and STAMP.read_text() == wanted(gpu, dev):
            return 0
        check_machine(gpu=gpu)
        set_up(gpu=gpu, index=index, dev=dev)
        STAMP.write_text(wanted(gpu, dev))
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    say("set-up is done")
    return 0


START = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
