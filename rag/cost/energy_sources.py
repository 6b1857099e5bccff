"""The sources of energy readings: RAPL, the GPU's driver, IPMI, and any meter that answers over HTTP."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag.cost.constants import constants
from rag.cost.energy import BANDS, NODE, Band, Counter, EnergySource, Reading
from rag.errors import SettingsError
from rag.settings import HardwareSettings

POWERCAP = Path("/sys/class/powercap")
TIMEOUT_S = 3.0
IPMI = ("ipmitool", "dcmi", "power", "reading")
NVIDIA = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")

Run = Callable[[Sequence[str]], str]


class Rapl:
    """Counters of the processor packages under /sys/class/powercap, with sampled GPU power on top.

    Only zones called package-N count: those nested in them, and psys around them, hold the same joules again.
    Memory, fans and the loss of the power supply are constants.
    """

    def __init__(self, folder: Path = POWERCAP, *, gpu: Gpu | None = None) -> None:
        self._folder, self._gpu = folder, gpu
        figures = constants()
        self._rest_w = figures["dimm_watts"].value * figures["dimms"].value
        self._efficiency = figures["psu_efficiency"].value

    @property
    def name(self) -> str:
        return "rapl+gpu" if self._gpu else "rapl"

    @property
    def band(self) -> Band:
        return BANDS[self.name]

    def read(self) -> Reading | None:
        try:
            counters = {zone.name: counter(zone) for zone in self._packages()}
        except (OSError, ValueError):  # not there, or for root only since CVE-2020-8694
            return None
        gpu_w = self._gpu.watts() if self._gpu else 0.0
        if not counters or gpu_w is None:
            return None
        return Reading(counters, self._rest_w + gpu_w, self._efficiency)

    def _packages(self) -> list[Path]:
        zones = [zone for zone in self._folder.iterdir() if re.fullmatch(r"[a-z-]+:\d+", zone.name)]
        return sorted(zone for zone in zones if (zone / "name").read_text().startswith("package"))


class Gpu:
    """What the driver of NVIDIA's GPUs samples. The samples see a part of the time only: a wide band."""

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or run_program

    def watts(self) -> float | None:
        """Power of all GPUs; None without an answer."""
        try:
            return sum(float(line) for line in self._run(NVIDIA).splitlines() if line.strip())
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


class Ipmi:
    """Power of the whole machine as its management controller measures it."""

    name = "ipmi"
    band = NODE

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or run_program

    def read(self) -> Reading | None:
        try:
            found = re.search(r"Instantaneous power reading:\s+(\d+(?:\.\d+)?)\s+Watts", self._run(IPMI))
        except (OSError, subprocess.SubprocessError):
            return None
        return Reading(watts=float(found[1])) if found else None


class HttpMeter:
    """Watts of the whole machine from an address: a Prometheus query, a smart plug, a metered socket.

    `path` walks through its JSON, as `data.result.0.value.1`; a Prometheus answer needs none.
    """

    name = "http"
    band = NODE

    def __init__(self, url: str, path: str = "") -> None:
        self._url, self._path = url, path

    def read(self) -> Reading | None:
        import httpx  # not needed by whoever reads no such meter

        try:
            # Read every few seconds: without the certificates, where there is none to check.
            secure = self._url.lower().startswith("https:")
            reply = httpx.get(self._url, timeout=TIMEOUT_S, verify=secure)
            reply.raise_for_status()
            found = reply.json()
            path = self._path or ("data.result.0.value.1" if isinstance(found, dict) else "")
            return Reading(watts=float(walk(found, path)))
        except (httpx.HTTPError, ValueError, TypeError, LookupError):
            return None


def sources(settings: HardwareSettings, *, powercap: Path = POWERCAP) -> list[EnergySource]:
    """The sources that the settings allow. Raises SettingsError for an HTTP meter without an address."""
    if settings.meter == "http" and not settings.meter_url:
        raise SettingsError("hardware.meter is http: set hardware.meter_url to what tells the watts")
    allowed: dict[str, Callable[[], list[EnergySource]]] = {
        "http": lambda: [HttpMeter(settings.meter_url, settings.meter_path)] if settings.meter_url else [],
        "ipmi": lambda: [Ipmi()] if shutil.which(IPMI[0]) else [],
        "rapl": lambda: [Rapl(powercap, gpu=Gpu() if shutil.which(NVIDIA[0]) else None)],
        "model": lambda: [],
    }
    wanted = list(allowed) if settings.meter == "auto" else [settings.meter]
    return [source for name in wanted for source in allowed[name]()]


def counter(zone: Path) -> Counter:
    """The counter of one zone, in joules."""
    joules, range_j = (int((zone / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
    return Counter(joules, range_j)


def walk(found: Any, path: str) -> Any:
    """The value at a dotted path; numbers index lists."""
    for step in path.split(".") if path else ():
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def run_program(command: Sequence[str]) -> str:
    """What a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return done.stdout
