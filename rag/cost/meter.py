"""What one piece of work costs: machine-seconds, watt-hours, grams and money, with method and band.

Work takes part of the machine: busy_s = slot-seconds of the engine + CPU-seconds elsewhere / cores. It pays
for that part of the hour at full load; the time nobody worked is a row of its own (`idle`). Both add up:
charge(busy) + idle(hours - busy) is rates.hour(u) * hours, in every part.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from rag.cost.energy import MODEL, Band
from rag.cost.rates import Rates
from rag.types import Cost

if TYPE_CHECKING:
    from rag.cost.estimate import Estimate

LEAST_UTILISATION = 1e-4


@dataclass(frozen=True, slots=True)
class Work:
    """What was done for one request, all of it so far; two of them add up.

    `prefill_s`, `decode_s`: slot-seconds of the engine, with the gain of batching (Finished.slot_s). `cpu_s`:
    CPU-seconds of other processes: index, parsers. `retrieval_s`, `embedding_s`, `queue_s`: wall time, for
    the record. `batch`: sequences per step. `external`: money paid to others, in our currency.
    """

    prefill_s: float = 0.0
    decode_s: float = 0.0
    cpu_s: float = 0.0
    retrieval_s: float = 0.0
    embedding_s: float = 0.0
    queue_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    external: float = 0.0
    batch: float = 0.0

    def __add__(self, other: Work) -> Work:
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Work)}
        return Work(**{**sums, "batch": max(self.batch, other.batch)})

    def busy_s(self, cores: int) -> float:
        """Seconds of the whole machine."""
        return self.prefill_s + self.decode_s + self.cpu_s / cores


@dataclass(frozen=True, slots=True)
class Charge:
    """What work or idleness costs. Money in `currency`; `energy_wh` at the machine, before the room's part.

    `booked` is what the ledger counts. `marginal` would have been saved without the work. `fully_loaded` is
    with this work's part of the idle time at `utilisation`; it is what may be called the cost of an answer.
    `estimate`: what was expected of it.
    """

    busy_s: float
    depreciation: float
    energy: float
    opex: float
    external: float
    currency: str
    energy_wh: float
    co2e_g: float
    embodied_g: float
    marginal: float
    fully_loaded: float
    utilisation: float
    band: Band
    constants: str
    warnings: tuple[str, ...] = ()
    estimate: Estimate | None = None

    @property
    def booked(self) -> float:
        """All parts of the money."""
        return self.depreciation + self.energy + self.opex + self.external

    @property
    def method(self) -> str:
        """How the figure came about, in one line."""
        load = f"fully loaded at {self.utilisation:.1%} use"
        return f"estimate: {load}; energy by {self.band.method} ({self.band.told})"

    def cost(self, cpu_seconds: float) -> Cost:
        """As it goes to the reader beside the answer."""
        return Cost(
            amount=self.fully_loaded,
            currency=self.currency,
            cpu_seconds=cpu_seconds,
            method=self.method,
            booked=self.booked,
            marginal=self.marginal,
            external=self.external,
            energy_wh=self.energy_wh,
            energy_low_wh=self.energy_wh * self.band.low,
            energy_high_wh=self.energy_wh * self.band.high,
            co2e_g=self.co2e_g,
            utilisation=self.utilisation,
            constants=self.constants,
            **self._told(),
        )

    def _told(self) -> dict[str, float]:
        """The estimate in money, as it stood when the answer was made."""
        if self.estimate is None:
            return {}
        likely, hardly_more, most = self.estimate.p50, self.estimate.p95, self.estimate.most
        return {
            "estimated": likely.money,
            "estimated_p95": hardly_more.money,
            "estimated_most": most.money,
        }


def charge(work: Work, rates: Rates, *, utilisation: float = 1.0, band: Band = MODEL) -> Charge:
    """What the work costs. `utilisation` in [0, 1]: of the machine, these days.

    SCI (ISO/IEC 21031): E * PUE * I + TE * (t / life) * part of the machine.
    """
    busy_s = work.busy_s(rates.cores)
    made = _part(busy_s, busy_s * rates.busy_w / 3600, rates, external=work.external, band=band)
    load = min(1.0, max(utilisation, LEAST_UTILISATION))
    dynamic_wh = busy_s * (rates.busy_w - rates.idle_w) / 3600
    return replace(
        made,
        marginal=rates.electricity(dynamic_wh) + work.external,
        fully_loaded=busy_s / 3600 * rates.hour(load) / load + work.external,
        utilisation=load,
    )


def idle(seconds: float, energy_wh: float | None, rates: Rates, *, band: Band = MODEL) -> Charge:
    """What time without work costs. `energy_wh`: what the meter showed beyond the work's, None: by the model.

    Both may be negative: where several processes worked at once, or the power model gave work too much.
    """
    return _part(seconds, seconds * rates.idle_w / 3600 if energy_wh is None else energy_wh, rates, band=band)


def _part(seconds: float, wh: float, rates: Rates, *, band: Band, external: float = 0.0) -> Charge:
    hours = seconds / 3600
    embodied_g = hours * rates.embodied_g_h
    return Charge(
        busy_s=seconds,
        depreciation=hours * rates.depreciation_h,
        energy=rates.electricity(wh),
        opex=hours * rates.opex_h,
        external=external,
        currency=rates.currency,
        energy_wh=wh,
        co2e_g=rates.carbon(wh) + embodied_g,
        embodied_g=embodied_g,
        marginal=0.0,
        fully_loaded=0.0,
        utilisation=1.0,
        band=band,
        constants=rates.constants,
    )
