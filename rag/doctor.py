"""What this machine is, and whether everything that answers and feeds works on it."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.api import address
from rag.assembly import System, open_system
from rag.embedding.scale import FEW
from rag.engine.footprint import Footprint, footprint
from rag.engine.tuning import Tuning, tuned
from rag.errors import RagError
from rag.models.abilities import abilities
from rag.models.check import choose
from rag.models.header import read_header
from rag.models.lockfile import Entry, entry, languages_of, load_lock, locate
from rag.models.verification import verify
from rag.settings import Settings

FOREIGN = 0.1  # of the documents, from which on a search would miss too much
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
    try:
        entries = load_lock(settings.home)
    except RagError as error:
        entries = {}
        yield Finding("models", False, str(error))
    for one in entries.values():
        yield await asyncio.to_thread(model, one, settings.home)
    runs = await asyncio.to_thread(build, settings)
    yield runs
    if runs.good:
        yield await asyncio.to_thread(able, settings)
        yield await asyncio.to_thread(speed, settings)
    try:
        async with open_system(settings, generation=False) as system:
            info = await system.vectors.info()
            yield await index(system, info)
            yield embedder(info)
            yield await asyncio.to_thread(languages, system)
            yield await asyncio.to_thread(ledger, system)
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


def model(one: Entry, home: Path) -> Finding:
    """Whether a model of the lock is installed and is the pinned one."""
    try:
        verify(locate(one, home), one)
    except RagError as error:
        return Finding(f"model {one.name}", False, str(error))
    return Finding(f"model {one.name}", True, f"{one.quantisation}, sha256 {one.sha256[:12]}… as pinned")


def build(settings: Settings) -> Finding:
    """Whether this build of llama.cpp decodes a whole batch of the model here, tried in a child process."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        runs = entry(settings.engine.model, settings.home)
        flags = choose(runs, locate(runs, settings.home), settings.home)
    except RagError as error:
        return Finding("llama.cpp", False, str(error))
    return Finding(
        "llama.cpp", not flags.note, flags.note or "decodes a whole batch with its fastest kernels"
    )


def able(settings: Settings) -> Finding:
    """What may be done with the KV of the model that answers, by its architecture."""
    try:
        runs = entry(settings.engine.model, settings.home)
        header = read_header(locate(runs, settings.home))
    except RagError as error:
        return Finding("abilities", False, str(error))
    can = abilities(header)
    named = {"answers": can.generates, "trims KV": can.can_trim, "moves KV": can.can_shift}
    able = ", ".join(name for name, true in named.items() if true) or "nothing"
    return Finding(
        "abilities", can.generates, f"{header.architecture}: {able}; {can.reason}".removesuffix("; ")
    )


def speed(settings: Settings) -> Finding:
    """How fast the model that answers is here, against what the machine can; measured if it never was."""
    try:
        path = locate(entry(settings.engine.model, settings.home), settings.home)
        return Finding("speed", True, describe(measured(settings), footprint(path)))
    except RagError as error:
        return Finding("speed", False, str(error))


def measured(settings: Settings) -> Tuning:
    """How fast the model that answers is here; measured if it never was. Raises ModelError."""
    runs = entry(settings.engine.model, settings.home)
    path = locate(runs, settings.home)
    flags = choose(runs, path, settings.home)
    return tuned(runs, path, settings.home, settings.engine, flags)


def describe(tuning: Tuning, footprint: Footprint) -> str:
    """Speeds, their share of the limits of this machine, and what was chosen and why."""
    chosen = (
        f"{tuning.threads} threads, {tuning.batch_threads} for prompts, "
        f"flash attention {'on' if tuning.flash_attention else 'off'}, micro-batch {tuning.micro_batch}, "
        f"weights {'repacked' if tuning.repack else 'as in the file'}"
    )
    if not tuning.is_measured:
        return "; ".join(filter(None, [chosen, tuning.note]))
    memory = footprint.bandwidth_share(tuning.decode_tps, tuning.depth, tuning.bandwidth_gbs)
    compute = footprint.compute_share(tuning.prefill_tps, tuning.gflops)
    return (
        f"prefill {tuning.prefill_tps:.0f} tokens/s, decode {tuning.decode_tps:.1f} tokens/s "
        f"(depth {tuning.depth}); {memory:.0%} of the measured bandwidth of {tuning.bandwidth_gbs:.1f} GB/s, "
        f"{compute:.0%} of the measured {tuning.gflops:.0f} GFLOP/s of float32; {chosen}; {tuning.note}"
    )


async def index(system: System, info: Mapping[str, Any]) -> Finding:
    """Whether the index holds what the catalog says; `info` is its own."""
    expected = sum(system.catalog.live_versions().values())
    held = dict(await system.vectors.versions())
    live = sum(held.get(version, 0) for version in system.catalog.live_versions())
    models = [f"{info.get('model')} as {info.get('dtype')}"]
    models += [
        f"{kind} {info[kind]}".replace("_", " ") for kind in ("sparse", "late_interaction") if info.get(kind)
    ]
    detail = f"{live} of {expected} live chunks, {', '.join(models)}, {info.get('store')}"
    return Finding(
        "index", live == expected, detail if live == expected else f"{detail}; run rag ingest again"
    )


def embedder(info: Mapping[str, Any]) -> Finding:
    """Whether the embedder tells answers from other sentences, on samples in English."""
    detail = "; ".join(filter(None, (f"{info['model']}: {info['scale']}", info["prompts"])))
    if info["answers_found"] >= FEW:
        return Finding("embedder", True, detail)
    return Finding(
        "embedder",
        False,
        f"{detail}, {FEW:.0%} are needed: unless its documents are in no language that it shares with these "
        "samples (English), what it finds and declines means little; set another embedding.model, then "
        "rag reindex",
    )


def languages(system: System) -> Finding:
    """Whether the embedder was trained for the languages of the documents."""
    counts = system.catalog.languages()
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
    if foreign := beyond(system.settings, counts):
        share = sum(counts[name] for name in foreign) / sum(counts.values())
        return Finding(
            "languages",
            False,
            f"{told}; {share:.0%} of the documents are in {', '.join(foreign)}, which "
            f"{system.settings.embedding.model} was not trained for, so paraphrases are not found there: "
            "rag models pull one that was, such as intfloat/multilingual-e5-small, set embedding.model, "
            "then rag reindex",
        )
    return Finding("languages", True, told or "none known yet")


def ledger(system: System) -> Finding:
    """Whether the ledger has what it had when the home last looked; `rag cost verify` reads all of it."""
    gap = system.accountant.ledger.gap()
    return Finding("ledger", not gap, gap or "as long as when the home last looked, or longer")


def beyond(settings: Settings, counts: Mapping[str, int]) -> list[str]:
    """The languages that the embedder is not known for, where they are a tenth of the documents or more."""
    known = languages_of(settings.embedding.model, settings.home)
    foreign = sorted(name for name in counts if known and name not in known)
    whole = sum(counts.values())
    return foreign if whole and sum(counts[name] for name in foreign) / whole >= FOREIGN else []
