"""What a cost report says: in words for a terminal, and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite

from rag.cost.break_even import BreakEven, hourly
from rag.cost.rates import SETTINGS
from rag.cost.report import CostReport
from rag.terminal import money


def facts(report: CostReport) -> list[tuple[str, str]]:
    """What the report says of the whole, as pairs of a name and a value."""
    currency, band = report.currency, report.band
    start, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (report.start, report.end))
    wh, rates = report.energy_wh, report.rates
    making = report.hours * rates.embodied_g_h  # which the band of the energy does not touch
    # Not the carbon of `wh` by the grid of today: rows keep the grid that was in force.
    low, high = ((report.co2e_g - making) * each + making for each in (band.low, band.high))
    found = [("not all is here", report.gap)] if report.gap else []
    found += [
        ("provisioned", f"{report.hours:.1f} h, {start} to {end} UTC, {report.utilisation:.2%} of them busy"),
        ("requests", ", ".join(f"{count} {name}" for name, count in report.outcomes.items()) or "none"),
        ("cost", f"{money(report.cost)} {currency}, of which {money(report.idle.cost)} for idle time"),
        ("paid to others", f"{money(report.whole.external)} {currency}"),
        ("cost per answer, fully loaded", amount(report.per_query, currency)),
        ("marginal cost per answer", amount(report.marginal_per_query, currency)),
        (
            "energy at the machine",
            f"{amounts('Wh', wh, wh * band.low, wh * band.high)} ({band.method})",
        ),
        (
            "carbon",
            f"{amounts('gCO2e', report.co2e_g, low, high)} by that band "
            f"(PUE {rates.pue:g}, {rates.grid_low:g} to {rates.grid_high:g} g/kWh)",
        ),
        (
            "saved by cached tokens",
            f"{money(report.savings.by_prefix)} {currency} ({report.savings.cached_tokens} tokens)",
        ),
        (
            "saved by remembered answers",
            f"{money(report.savings.by_answers)} {currency} ({report.savings.answers} answers)",
        ),
    ]
    if quality := report.estimates:
        told = f"{quality.within_most:.1%} within the most, {quality.within_p95:.1%} within p95"
        told += f", median error {quality.median_error:.0%} ({quality.requests} requests)"
        found.append(("estimates", told))
    return found


def amounts(unit: str, value: float, low: float, high: float) -> str:
    """A figure with its band in one unit, thousands of it where there are."""
    scale, unit = (1000, f"k{unit}") if value >= 1000 else (1, unit)
    likely, least, most = (money(each / scale) for each in (value, low, high))
    return f"{likely} {unit}, between {least} and {most}"


def amount(value: float | None, currency: str) -> str:
    """Money, or that there is none to tell of."""
    return "no answers" if value is None else f"{money(value)} {currency}"


def told(made: CostReport) -> str:
    """The report for a terminal."""
    lines = [f"{name}: {value}" for name, value in facts(made)]
    if made.lines:
        lines.append(f"\nby {made.by}:")
        lines += [
            f"  {line.name or '(none)'}: {line.requests} requests, {money(line.booked)} {made.currency}, "
            f"{money(line.energy_wh)} Wh, {money(line.co2e_g)} gCO2e"
            for line in made.lines
        ]
    if made.break_even:
        lines.append(f"\nbeside APIs, for questions like the {made.worded.requests} that a model worded:")
        lines += [beside(each, made.currency) for each in made.break_even]
    if made.defaults:
        lines.append("\ndefaults of [hardware] that nobody set (`rag cost profile`):")
        lines += [
            f"  {setting_of(each.name)} {each.value:g} {each.unit} ({each.low:g} to {each.high:g})"
            for each in made.defaults
        ]
    return "\n".join(lines)


def setting_of(constant: str) -> str:
    """The setting of [hardware] that a constant stands in for."""
    return "grid" if constant.startswith("grid_") else SETTINGS.get(constant, constant)


def beside(each: BreakEven, currency: str) -> str:
    """One API in a line."""
    price = f"price of {each.as_of}{', too old to rely on' if each.is_stale else ''}"
    load = f"now {hourly(each.actual)} an hour, possible {hourly(each.possible)}"
    return f"  {each.model}: {money(each.api_cost)} {currency} a question; {each.verdict} ({load}; {price})"


def needed(each: BreakEven) -> float | None:
    """Questions an hour from which on this machine is cheaper; None: never, as JSON has no infinity."""
    return each.needed if isfinite(each.needed) else None


def report_json(made: CostReport) -> dict[str, object]:
    """The report for programs."""
    computed = (
        "hours",
        "cost",
        "utilisation",
        "answered",
        "per_query",
        "marginal_per_query",
        "energy_wh",
        "co2e_g",
    )
    rows = [
        asdict(each) | {"needed": needed(each), "as_of": str(each.as_of), "verdict": each.verdict}
        for each in made.break_even
    ]
    return asdict(made) | {name: getattr(made, name) for name in computed} | {"break_even": rows}
