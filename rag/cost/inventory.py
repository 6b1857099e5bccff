"""Which models are here, whether they are the pinned ones, and what each may serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rag.errors import RagError
from rag.models import gates
from rag.models.gguf import read
from rag.models.header import describe
from rag.models.lockfile import Entry, locate
from rag.models.verification import verify
from rag.settings import Settings


@dataclass(frozen=True, slots=True)
class Gate:
    """What a quality gate found for a risk profile, with this build, prompts and retrieval settings."""

    profile: str
    verdict: str
    dataset_sha256: str


@dataclass(frozen=True, slots=True)
class Use:
    """What the ledger knows of a model. Times in seconds since 1970. Money per thousand answers: `booked` is
    machine time alone, `loaded` has the model's part of the idle time in it."""

    requests: int
    first: float
    last: float
    tenants: tuple[str, ...]
    completion_tokens: int
    busy_s: float
    booked_per_thousand: float
    loaded_per_thousand: float
    wh_per_thousand: float
    co2e_g_per_thousand: float


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model. `state`: verified, or what is wrong. `added`: it came with `rag models`, not with us."""

    name: str
    kind: str
    file: str
    sha256: str
    size_bytes: int
    quantisation: str
    licence: str
    source: str
    added: bool
    in_use: bool
    state: str
    architecture: str
    parameters: int
    gates: tuple[Gate, ...]
    use: Use | None

    def may_serve(self, profile: str) -> bool:
        """Whether a gate of the profile was passed; exploratory has none."""
        return profile == "exploratory" or any(
            each.profile == profile and each.verdict == "PASS" for each in self.gates
        )


def is_in_use(entry: Entry, settings: Settings) -> bool:
    """Whether a setting names it."""
    return entry.name in settings.named_models().values()


def state_of(entry: Entry, home: Path) -> tuple[str, Path | None]:
    """Whether its files are the pinned ones, and where they lie."""
    try:
        path = locate(entry, home)
        verify(path, entry)
    except RagError as error:
        return str(error), None
    return "verified", path


def structure(path: Path) -> tuple[str, int]:
    """The architecture of a GGUF file, and how many weights it has."""
    gguf = read(path)
    return describe(gguf).architecture, sum(prod(tensor.shape) for tensor in gguf.tensors)


def gates_of(entry: Entry, settings: Settings) -> tuple[Gate, ...]:
    """The results that hold for this model as it answers here."""
    found: list[Mapping[str, Any]] = list(gates.results(settings.home, gates.Binding.of(entry, settings)))
    return tuple(
        Gate(str(one.get("profile")), str(one.get("verdict")), str(one.get("dataset_sha256")))
        for one in found
    )
