"""Where energy is read: the best source that answers, its method and the band of its error.

A source says what its counters or its power meter show now; energy_log.py makes watt-hours of that. Without
any, a model of power over load stands in: P(u), see rates.py. None is ever left out of a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Band:
    """How far off a figure may be: the truth lies between `low` and `high` times it, by our judgement.

    `tier` from 1, a meter of the whole machine, to 5, an estimate on a virtual one.
    """

    tier: int
    method: str
    low: float
    high: float

    @property
    def told(self) -> str:
        """The band for people."""
        if self.tier == 5:
            return "x/÷ 3"
        return f"{100 * (self.low - 1):+.0f} % to {100 * (self.high - 1):+.0f} %"


NODE = Band(1, "meter of the whole machine", 0.95, 1.05)
COUNTERS = Band(2, "RAPL counters, constants for the rest", 0.85, 1.15)
SAMPLED = Band(3, "sampled GPU power", 0.65, 1.35)
MODEL = Band(4, "power model", 0.5, 2.0)
VIRTUAL = Band(5, "power model on a virtual machine", 1 / 3, 3.0)
BANDS = {"http": NODE, "ipmi": NODE, "rapl": COUNTERS, "rapl+gpu": SAMPLED}  # by the names of sources


@dataclass(frozen=True, slots=True)
class Counter:
    """Joules since some beginning; behind `range_j` it starts anew from 0."""

    joules: float
    range_j: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source shows at one moment: counters by name, and watts of what has none.

    `efficiency`: the part of the machine's power that reaches what was read.
    """

    counters: Mapping[str, Counter] = field(default_factory=dict)
    watts: float = 0.0
    efficiency: float = 1.0


class EnergySource(Protocol):
    """Anything that shows what this machine takes."""

    @property
    def name(self) -> str:
        """Which one it is, as rag.toml calls it."""
        ...

    @property
    def band(self) -> Band:
        """Its method and the error that comes with it."""
        ...

    def read(self) -> Reading | None:
        """What it shows now; None while it does not answer."""
        ...


def best(sources: Sequence[EnergySource]) -> EnergySource | None:
    """The first that answers of those with the narrowest band; None without one."""
    ordered = sorted(sources, key=lambda source: source.band.tier)
    return next((source for source in ordered if source.read() is not None), None)


def model_band(cpuinfo: Path = CPUINFO) -> Band:
    """The band of the power model on this machine: on a virtual one nobody knows what else runs beside it."""
    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return MODEL
    return VIRTUAL if "hypervisor" in flags.split() else MODEL
