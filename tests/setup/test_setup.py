"""What `make setup` checks and chooses, without installing anything."""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
GCC12 = "c++ (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022"
GCC14 = "g++ (Ubuntu 14.2.0-4ubuntu2) 14.2.0"
CLANG = "Ubuntu clang version 18.1.3 (1ubuntu1)"
AMX = {"avx2", "amx_tile", "amx_int8"}
HEADER = Path("/checkout/.setup/amx.h")


@pytest.fixture(scope="module")
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("permafrost_setup", ROOT / ".setup" / "setup.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def everything(name: str) -> str:
    return f"/usr/bin/{name}"


def test_an_old_python_is_refused_with_the_fix(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match=r"3\.9\.2 is too old.*install Python 3\.11"):
        setup.check_machine(version=(3, 9, 2), which=everything, free_bytes=1 << 40, has_venv=True)


def test_a_machine_without_compiler_is_told_what_to_install(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match="no C.. compiler found.*build-essential"):
        setup.check_machine(which=lambda name: None, free_bytes=1 << 40, has_venv=True)


def test_a_full_disk_is_noticed_before_minutes_are_spent(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match=r"1\.0 GiB free .* needs 4"):
        setup.check_machine(which=everything, free_bytes=1 << 30, has_venv=True)
    with pytest.raises(setup.SetupError, match="needs 14"):
        setup.check_machine(which=everything, free_bytes=1 << 33, has_venv=True, gpu="cuda")


def test_a_python_without_venv_is_told_the_package(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match="python3-venv"):
        setup.check_machine(which=everything, free_bytes=1 << 40, has_venv=False)


def test_a_usable_machine_passes(setup: ModuleType) -> None:
    setup.check_machine(which=everything, free_bytes=1 << 40, has_venv=True)


@pytest.mark.parametrize(
    ("compiler", "flags", "included"),
    [(GCC12, AMX, True), (GCC14, AMX, False), (CLANG, AMX, False), (GCC12, {"avx2"}, False)],
)
def test_only_old_gcc_on_an_amx_cpu_gets_the_header(
    setup: ModuleType, compiler: str, flags: set[str], included: bool
) -> None:
    plan = setup.plan(compiler=compiler, cpu_flags=flags, header=HEADER)
    assert any("-include" in argument for argument in plan.cmake) is included
    assert ("GCC 12" in plan.why) is included
    assert "-DLLAMA_BUILD_SERVER=OFF" in plan.cmake


@pytest.mark.parametrize(
    ("text", "gpu", "argument"),
    [
        ("1", "cuda", "-DGGML_CUDA=on"),
        ("cuda", "cuda", "-DGGML_CUDA=on"),
        ("Vulkan", "vulkan", "-DGGML_VULKAN=on"),
        ("metal", "metal", "-DGGML_METAL=on"),
    ],
)
def test_a_gpu_is_compiled_for_when_it_is_named(
    setup: ModuleType, text: str, gpu: str, argument: str
) -> None:
    assert setup.gpu_named(text) == gpu
    plain = setup.plan(compiler=GCC12, cpu_flags=AMX, header=HEADER)
    with_gpu = setup.plan(compiler=GCC12, cpu_flags=AMX, header=HEADER, gpu=gpu)
    assert set(with_gpu.cmake) - set(plain.cmake) == {argument}
    assert setup.wheel_folder(plain) != setup.wheel_folder(with_gpu)


@pytest.mark.parametrize("text", ["", "0"])
def test_without_a_gpu_the_plan_is_the_plain_one(setup: ModuleType, text: str) -> None:
    assert setup.gpu_named(text) == ""
    plan = setup.plan(compiler=CLANG, cpu_flags=AMX, header=HEADER)
    assert list(plan.cmake) == setup.LEAN


def test_an_unknown_gpu_is_refused_with_the_choices(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match="GPU=rocm is unknown: choose cuda, vulkan, metal"):
        setup.gpu_named("rocm")


@pytest.mark.parametrize(
    ("gpu", "tool", "need"), [("cuda", "nvcc", "CUDA toolkit"), ("vulkan", "glslc", "apt-get install glslc")]
)
def test_a_gpu_without_its_compiler_is_refused_in_the_first_second(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, gpu: str, tool: str, need: str
) -> None:
    monkeypatch.delenv("CUDACXX", raising=False)

    def without(name: str) -> str | None:
        return None if name == tool else everything(name)

    with pytest.raises(setup.SetupError, match=f"GPU={gpu} needs .*{need}"):
        setup.check_machine(which=without, free_bytes=1 << 40, has_venv=True, gpu=gpu)
    setup.check_machine(which=everything, free_bytes=1 << 40, has_venv=True, gpu=gpu)


@pytest.mark.skipif(sys.platform == "darwin", reason="has Metal")
def test_metal_is_for_macos(setup: ModuleType) -> None:
    with pytest.raises(setup.SetupError, match="GPU=metal needs macOS"):
        setup.check_machine(which=everything, free_bytes=1 << 40, has_venv=True, gpu="metal")


def test_a_wheel_built_another_way_is_not_taken_from_the_cache(setup: ModuleType) -> None:
    ours = setup.wheel_folder(setup.Plan(("-DA=1",), "one way"))
    other = setup.wheel_folder(setup.Plan(("-DA=2",), "another"))
    assert ours != other


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("g++"), reason="needs g++ on x86-64")
def test_the_header_makes_gcc_store_all_of_the_tile_configuration_first(tmp_path: Path) -> None:
    source = tmp_path / "tile.cpp"
    source.write_text(
        "struct Tile { unsigned char palette, start, zero[14];\n"
        "  unsigned short columns[16]; unsigned char rows[16]; };\n"
        "void configure(int rows) { Tile t = {}; t.palette = 1;\n"
        "  for (int i = 0; i < 8; i++) { t.rows[i] = rows; t.columns[i] = 64; } _tile_loadconfig(&t); }\n"
    )
    header = ROOT / ".setup" / "amx.h"
    command = ["g++", "-O3", "-mamx-tile", "-include", str(header), "-S", "-o", "-", str(source)]
    assembly = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, _, after = assembly.partition("ldtilecfg")
    assert re.search(r"mov\S*\s+%\w+, -?\d+\(%rsp\)", before), (
        "the configuration is stored before it is loaded"
    )
    assert not re.search(r"mov\S*\s+%\w+, -?\d+\(%rsp\)", after), "nothing of it is stored afterwards"


def test_every_locked_package_carries_hashes_and_names_no_host() -> None:
    for path in sorted((ROOT / ".setup" / "lock").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text, path.name
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, f"{path.name}: {block.splitlines()[0]}"


def test_torchvision_is_not_in_the_default_set() -> None:
    assert "torchvision" not in (ROOT / ".setup" / "lock" / "default.txt").read_text()
