"""What can be found out about this machine, as the [hardware] section of rag.toml."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.cost.constants import constants
from rag.cost.energy import CPUINFO
from rag.cost.energy_sources import POWERCAP, Rapl, run_program

GPUS = ("nvidia-smi", "--query-gpu=name,power.limit", "--format=csv,noheader,nounits")
GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class Detected:
    """This machine. `gpu_watts`: limits of all GPUs together; `cores`: those this process may use."""

    cpu: str
    cores: int
    machine_cores: int
    memory_gb: float
    gpus: tuple[str, ...]
    gpu_watts: float
    is_virtual: bool
    has_rapl: bool
    has_ipmi: bool

    @property
    def busy_watts(self) -> float:
        """Power of the whole machine at full load by the power model: unknown CPU, memory, GPUs, losses."""
        figures = constants()
        rest = figures["dimm_watts"].value * figures["dimms"].value
        return (figures["cpu_watts"].value + rest + self.gpu_watts) / figures["psu_efficiency"].value


def detect(
    *, cpuinfo: Path = CPUINFO, powercap: Path = POWERCAP, run: Callable[[Sequence[str]], str] = run_program
) -> Detected:
    """Look at this machine; what cannot be found out is empty."""
    told = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    gpus = list_gpus(run)
    return Detected(
        cpu=model[1].strip() if model else "",
        cores=len(os.sched_getaffinity(0)),
        machine_cores=os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE, 1),
        gpus=tuple(name for name, _ in gpus),
        gpu_watts=sum(watts for _, watts in gpus),
        is_virtual=bool(re.search(r"^flags\s*:.*\bhypervisor\b", told, re.MULTILINE)),
        has_rapl=Rapl(powercap).read() is not None,
        has_ipmi=shutil.which("ipmitool") is not None,
    )


def list_gpus(run: Callable[[Sequence[str]], str]) -> list[tuple[str, float]]:
    """NVIDIA's GPUs with their power limits in watts; none without the driver."""
    try:
        lines = run(GPUS).splitlines()
        return [
            (name.strip(), float(watts))
            for name, _, watts in (line.rpartition(",") for line in lines if line)
        ]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def section(found: Detected, answers: Mapping[str, float | str]) -> str:
    """The [hardware] section: what was answered as settings, what was not as comments with the defaults."""
    figures = constants()
    name = found.cpu or "this machine"
    kind = "virtual" if found.is_virtual else "physical"
    lines = [
        "[hardware]",
        f"# {kind} machine: {name}, {found.cores} of {found.machine_cores} cores, {found.memory_gb:g} GB"
        + (f", {', '.join(found.gpus)}" if found.gpus else ""),
        f'name = "{name.translate(str.maketrans("", "", chr(34) + chr(92)))}"',
        f"cores = {found.cores}",
    ]
    guesses = {"busy_watts": found.busy_watts} if found.gpus else {}
    for setting, constant in ASKED.items():
        figure = figures[constant]
        if setting in answers:
            lines.append(f"{setting} = {shown(answers[setting])}")
        else:
            value = guesses.get(setting, figure.value)
            lines.append(
                f"# {setting} = {value:g}  # default, {figure.unit}, {figure.low:g} to {figure.high:g}"
            )
    lines.append(
        f"grid = {shown(answers['grid'])}" if "grid" in answers else '# grid = "world"  # two letters'
    )
    lines.append(f"# energy: {metering(found)}")
    return "\n".join(lines)


# Settings of [hardware] that nobody can detect, and the constants that stand in.
ASKED = {
    "price": "server_price",
    "life_years": "life_years",
    "idle_watts": "idle_watts",
    "busy_watts": "busy_watts",
    "pue": "pue",
    "price_kwh": "price_kwh",
    "opex_hour": "opex_hour",
    "embodied_kg": "embodied_kg",
}


def metering(found: Detected) -> str:
    """How energy is going to be known here."""
    if found.has_ipmi:
        return "ipmitool is here: the management controller may tell the whole machine's power"
    if found.has_rapl:
        return "RAPL counters are readable: within 15 %"
    if found.is_virtual:
        return "no counters on this virtual machine: estimates by a factor of 3; meter_url can name a meter"
    return (
        "no counters (RAPL needs read permission): estimates of -50 % to +100 %; meter_url can name a meter"
    )


def shown(value: float | str) -> str:
    """A value as TOML has it."""
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
