"""The cost report as one HTML file: nothing is fetched, nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from rag.cost.break_even import BreakEven, hourly
from rag.cost.report import CostReport
from rag.cost.summary import facts, setting_of
from rag.cost.usage import UsageLine
from rag.evaluation.charts import EDGE, HEIGHT, WIDTH, axis, picture, text
from rag.evaluation.page import POLICY, STYLE
from rag.terminal import money

MOST_BARS, WIDEST = 12, 60
SHOWN = {
    "name": "",
    "requests": "requests",
    "busy_s": "busy, s",
    "booked": "booked, {currency}",
    "external": "paid to others, {currency}",
    "marginal": "marginal, {currency}",
    "energy_wh": "energy, Wh",
    "co2e_g": "carbon, gCO2e",
}
DARK = """
@media (prefers-color-scheme: dark) {
  body { background: #14181d; color: #e2e6eb; } tr { border-color: #333b45; }
  figcaption, .quiet { color: #9aa5b1; } svg rect { fill: #6f9fd8; } svg text { fill: #9aa5b1; }
}
table { display: block; overflow-x: auto; }
"""


def page(report: CostReport) -> str:
    """The whole page; it needs no network and no script."""
    start, end = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (report.start, report.end)
    )
    title = f"Cost report, {start} to {end} UTC"
    body = [
        f"<h1>{escape(title)}</h1>",
        totals(report),
        f"<h2>By {escape(report.by)}</h2>",
        charts(report),
        grouped(report),
        comparison(report),
        assumptions(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{DARK}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def totals(report: CostReport) -> str:
    """The figures of the whole machine."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts(report)
    )
    return f"<h2>The machine</h2><table>{rows}</table>"


def grouped(report: CostReport) -> str:
    """The table of the groups."""
    named = (title.format(currency=report.currency) for title in SHOWN.values())
    head = "".join(f"<th>{escape(title)}</th>" for title in named)
    rows = "".join(f"<tr>{''.join(cell(line, name) for name in SHOWN)}</tr>" for line in report.lines)
    return f"<table><tr>{head}</tr>{rows}</table>"


def cell(line: UsageLine, name: str) -> str:
    """One cell."""
    value = getattr(line, name)
    if isinstance(value, str):
        return f"<th>{escape(value) or '(none)'}</th>"
    return f"<td class=number>{value if isinstance(value, int) else money(value)}</td>"


def charts(report: CostReport) -> str:
    """Money and energy of the dearest groups; of days in their order."""
    lines = report.lines[-MOST_BARS:] if report.by == "day" else report.lines[:MOST_BARS]
    if not lines:
        return ""
    names = [line.name or "(none)" for line in lines]
    drawn = (
        (f"booked, {report.currency}", [line.booked for line in lines]),
        ("energy, Wh", [line.energy_wh for line in lines]),
    )
    figures = "".join(
        f"<figure><figcaption>{escape(label)}</figcaption>{bars(names, values, label)}</figure>"
        for label, values in drawn
    )
    return f'<div class="charts">{figures}</div>'


def bars(names: Sequence[str], values: Sequence[float], label: str) -> str:
    """One bar for each name; the largest reaches the top."""
    most = max(max(values), 1e-12)
    step = (WIDTH - 2 * EDGE) / len(values)
    drawn = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        width = min(WIDEST, max(1.0, step - 2))
        height, x = (HEIGHT - 2 * EDGE) * max(0.0, value) / most, EDGE + number * step
        told = escape(f"{name}: {money(value)}")
        drawn.append(
            f'<rect x="{x:.1f}" y="{HEIGHT - EDGE - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{told}</title></rect>'
        )
        drawn.append(text(x, HEIGHT - 12, name[: max(3, int(step / 7))]))
    return picture(label, "".join(drawn) + axis() + text(EDGE, EDGE - 10, f"at most {money(most)}"))


def comparison(report: CostReport) -> str:
    """This machine beside APIs, favourable or not."""
    if not report.break_even:
        return ""
    rows = "".join(map(api, report.break_even))
    head = f"<th>API</th><th>a question, {escape(report.currency)}</th><th>needed an hour</th><th>now</th>"
    head += "<th>possible</th><th></th><th>price of</th>"
    told = f"For questions like the {report.worded.requests} that a model worded; questions an hour."
    return f'<h2>Beside APIs</h2><p class="quiet">{told}</p><table><tr>{head}</tr>{rows}</table>'


def api(each: BreakEven) -> str:
    """One API as a row."""
    rates = (hourly(value) for value in (each.needed, each.actual, each.possible))
    numbers = (money(each.api_cost), *rates)
    cells = "".join(f"<td class=number>{value}</td>" for value in numbers)
    stale = ", too old to rely on" if each.is_stale else ""
    return (
        f"<tr><th>{escape(each.model)}</th>{cells}<td>{escape(each.verdict)}</td>"
        f"<td>{each.as_of}{stale}</td></tr>"
    )


def assumptions(report: CostReport) -> str:
    """The figures that nobody set."""
    rows = "".join(
        f"<tr><th>{escape(setting_of(each.name))}</th><td class=number>{each.value:g}</td>"
        f"<td>{escape(each.unit)}</td>"
        f"<td>{each.low:g} to {each.high:g}</td><td>{escape(each.source)} ({escape(each.date)})</td></tr>"
        for each in report.defaults
    )
    told = f'<p class="quiet">constants {escape(report.rates.constants)}</p>'
    return f"<h2>Defaults of [hardware] that nobody set</h2><table>{rows}</table>{told}" if rows else told
