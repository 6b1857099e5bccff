"""The cost report as one HTML file: nothing is fetched, nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from rag.cost.break_even import BreakEven, hourly
from rag.cost.report import CostReport
from rag.cost.summary import facts
from rag.cost.usage import UsageLine
from rag.evaluation.charts import EDGE, HEIGHT, WIDTH, axis, picture, text
from rag.evaluation.page import POLICY, STYLE

MOST_BARS, WIDEST = 12, 60
SHOWN = ("name", "requests", "busy_s", "booked", "external", "marginal", "energy_wh", "co2e_g")


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
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
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
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in SHOWN)
    rows = "".join(f"<tr>{''.join(cell(line, name) for name in SHOWN)}</tr>" for line in report.lines)
    return f"<table><tr>{head}</tr>{rows}</table>"


def cell(line: UsageLine, name: str) -> str:
    """One cell."""
    value = getattr(line, name)
    if isinstance(value, str):
        return f"<th>{escape(value) or '(none)'}</th>"
    return f"<td class=number>{value if isinstance(value, int) else f'{value:.4g}'}</td>"


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
        told = escape(f"{name}: {value:.4g}")
        drawn.append(
            f'<rect x="{x:.1f}" y="{HEIGHT - EDGE - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{told}</title></rect>'
        )
        drawn.append(text(x, HEIGHT - 12, name[: max(3, int(step / 7))]))
    return picture(label, "".join(drawn) + axis() + text(EDGE, EDGE - 10, f"at most {most:.3g}"))


def comparison(report: CostReport) -> str:
    """This machine beside APIs, favourable or not."""
    if not report.break_even:
        return ""
    rows = "".join(map(api, report.break_even))
    head = "<th>API</th><th>per question</th><th>needed per hour</th><th>now</th><th>possible</th><th></th>"
    return f"<h2>Beside APIs</h2><table><tr>{head}<th>price of</th></tr>{rows}</table>"


def api(each: BreakEven) -> str:
    """One API as a row."""
    rates = (hourly(value) for value in (each.needed, each.actual, each.possible))
    numbers = (f"{each.api_cost:.3g}", *rates)
    cells = "".join(f"<td class=number>{value}</td>" for value in numbers)
    stale = ", too old to rely on" if each.is_stale else ""
    return (
        f"<tr><th>{escape(each.model)}</th>{cells}<td>{escape(each.verdict)}</td>"
        f"<td>{each.as_of}{stale}</td></tr>"
    )


def assumptions(report: CostReport) -> str:
    """The figures that nobody set."""
    rows = "".join(
        f"<tr><th>{escape(each.name)}</th><td class=number>{each.value:g}</td><td>{escape(each.unit)}</td>"
        f"<td>{each.low:g} to {each.high:g}</td><td>{escape(each.source)} ({escape(each.date)})</td></tr>"
        for each in report.defaults
    )
    told = f'<p class="quiet">constants {escape(report.rates.constants)}</p>'
    return f"<h2>Defaults that nobody set</h2><table>{rows}</table>{told}" if rows else told
