"""What this machine is, and whether everything that answers and feeds works on it."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rag.api import address
from rag.assembly import System, open_system
from rag.errors import RagError
from rag.models.check import choose
from rag.models.lockfile import Entry, load_lock, locate
from rag.models.verification import verify
from rag.settings import Settings

CPU_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "i8mm",
    "sve",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    good: bool
    detail: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding, as it is made."""
    yield Finding("python", sys.version_info >= (3, 11), platform.python_version())
    yield Finding("cpu", True, cpu())
    yield disk(settings)
    for entry in load_lock().values():
        yield await asyncio.to_thread(model, entry, settings.home)
    yield await asyncio.to_thread(build, settings)
    try:
        async with open_system(settings, generation=False) as system:
            yield await index(system)
    except RagError as error:
        yield Finding("index", False, str(error))
    url = await asyncio.to_thread(address.find, settings.home)
    yield Finding("server", True, url or "none runs for this home")


def cpu() -> str:
    """Name, cores and the features that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    fields = {line.split(":")[0].strip(): line.partition(":")[2].strip() for line in text.splitlines()}
    flags = (fields.get("flags") or fields.get("Features", "")).split()
    have = " ".join(feature for feature in CPU_FEATURES if feature in flags)
    name = fields.get("model name", platform.machine())
    return f"{name}, {text.count('processor')} cores, {have or 'no vector features known'}"


def disk(settings: Settings) -> Finding:
    """Free space where the home is."""
    folder = settings.home.resolve()
    while not folder.exists():
        folder = folder.parent
    free, need = shutil.disk_usage(folder).free, settings.store.min_free_bytes
    return Finding("disk", free > need, f"{free / 1e9:.1f} GB free, {need / 1e9:.1f} GB are kept free")


def model(entry: Entry, home: Path) -> Finding:
    """Whether a model of the lock is installed and is the pinned one."""
    try:
        path = locate(entry, home)
        verify(path, entry)
    except RagError as error:
        return Finding(f"model {entry.name}", False, str(error))
    return Finding(
        f"model {entry.name}", True, f"{entry.quantisation}, sha256 {entry.sha256[:12]}… as pinned"
    )


def build(settings: Settings) -> Finding:
    """Whether this build of llama.cpp decodes a whole batch of the model here, tried in a child process."""
    try:
        entry = load_lock()[settings.engine.model]
        settings.home.mkdir(parents=True, exist_ok=True)
        flags = choose(entry, locate(entry, settings.home), settings.home)
    except KeyError:
        return Finding("llama.cpp", False, f"engine.model {settings.engine.model!r} is not in models.lock")
    except RagError as error:
        return Finding("llama.cpp", False, str(error))
    return Finding(
        "llama.cpp", not flags.note, flags.note or "decodes a whole batch with its fastest kernels"
    )


async def index(system: System) -> Finding:
    """Whether the index opens and holds what the catalog says."""
    info = await system.vectors.info()
    expected = sum(system.catalog.live_versions().values())
    held = dict(await system.vectors.versions())
    live = sum(held.get(version, 0) for version in system.catalog.live_versions())
    detail = (
        f"{live} of {expected} live chunks, {info.get('model')} as {info.get('dtype')}, {info.get('store')}"
    )
    return Finding(
        "index", live == expected, detail if live == expected else f"{detail}; run rag ingest again"
    )
