"""A model made ready to answer: verified, tried, tuned, loaded and looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.engine.devices import offload
from rag.engine.generator import Reuse
from rag.engine.kv import gate
from rag.engine.kv.cache import KvCache, fingerprint
from rag.engine.kv.fill import Filler
from rag.engine.kv.probe import Facts, probe
from rag.engine.model import Model
from rag.engine.offload import Offload
from rag.engine.tuning import Tuning, tuned
from rag.errors import ModelError
from rag.models.abilities import Abilities, abilities
from rag.models.check import Flags, choose
from rag.models.check import fingerprint as build_of
from rag.models.header import read_header
from rag.models.lockfile import Entry, entry, locate
from rag.models.verification import verify
from rag.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded model and all that is known of it here. `most_reuse`: what settings, model and gate allow;
    `least_repair`: the repair that the gate was passed with."""

    entry: Entry
    flags: Flags
    tuning: Tuning
    abilities: Abilities
    offload: Offload
    model: Model
    facts: Facts
    filler: Filler | None
    most_reuse: Reuse
    least_repair: int

    def describe(self) -> dict[str, Any]:
        """What runs."""
        return {
            "name": self.entry.name,
            "sha256": self.entry.sha256,
            "quantisation": self.entry.quantisation,
            "licence": self.entry.licence,
            "threads": self.tuning.threads,
            "tuning": self.tuning.note,
            "repack": self.tuning.repack,
            "note": self.flags.note,
            "offload": self.offload.note,
            "kv": self.filler.cache.describe() if self.filler else None,
            "reuse": self.most_reuse,
            "reuse_note": self.facts.note,
            **self.model.describe(),
        }

    def close(self) -> None:
        """Write what KV is only in memory, and give the memory back."""
        if self.filler:
            self.filler.cache.close()
        self.model.close()


def open_model(home: Path, settings: EngineSettings) -> Opened:
    """The model that the settings name. Raises ModelError or ModelMismatch that says what is wrong."""
    pinned = entry(settings.model, home)
    path = locate(pinned, home)
    verify(path, pinned)
    header = read_header(path)
    can = abilities(header)
    if not can.generates:
        raise ModelError(f"{path}: {can.reason}")
    flags = choose(pinned, path, home)
    tuning = tuned(pinned, path, home, settings, flags)
    gpu = offload(header, settings.gpu_layers, cells=settings.context * settings.slots)
    model = Model(
        path,
        context=settings.context,
        slots=settings.slots,
        micro_batch=tuning.micro_batch,
        threads=tuning.threads,
        batch_threads=tuning.batch_threads,
        flash_attention=tuning.flash_attention,
        gpu_layers=gpu.layers,
        repack=tuning.repack,
    )
    facts = probe(model, can, header)
    filler = open_filler(home, settings, model, facts, identity(pinned, facts, tuning))
    reuse, repair = most_reuse(home, settings, facts, filler), least_repair(home, filler)
    return Opened(pinned, flags, tuning, can, gpu, model, facts, filler, reuse, repair)


def identity(pinned: Entry, facts: Facts, tuning: Tuning) -> str:
    """A name for everything that KV depends on: model, build, CPU, kernels, types, layout and rotation."""
    return fingerprint(pinned.sha256, build_of(pinned), facts.shape, facts.rope, tuning.repack)


def open_filler(
    home: Path, settings: EngineSettings, model: Model, facts: Facts, fingerprint: str
) -> Filler | None:
    """What fills slots from kept KV; None where KV cannot be kept."""
    if facts.shape is None:
        return None
    cache = KvCache(
        home / "kv",
        fingerprint,
        facts.shape,
        memory_bytes=settings.kv_memory_bytes,
        disk_bytes=settings.kv_disk_bytes,
    )
    return Filler(model, cache, facts.rope)


def most_reuse(home: Path, settings: EngineSettings, facts: Facts, filler: Filler | None) -> Reuse:
    """What the settings, the model and its gate allow."""
    if filler is None or settings.reuse == "off":
        return Reuse.OFF
    if settings.reuse == "exact" or facts.rope is None:
        return Reuse.EXACT
    proven = settings.unproven_reuse or gate.passed(home, filler.cache.fingerprint)
    return Reuse.APPROXIMATE if proven else Reuse.EXACT


def least_repair(home: Path, filler: Filler | None) -> int:
    """The repair that the gate was passed with; 0 where it was not passed."""
    verdict = gate.verdict(home, filler.cache.fingerprint) if filler else {}
    return int(verdict["repair"]) if verdict.get("passed") and "repair" in verdict else 0
