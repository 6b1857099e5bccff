"""The cost report as a table for spreadsheets: CSV."""

from __future__ import annotations

import csv
import io

from rag.cost.report import CostReport

FIELDS = (
    "name",
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "busy_s",
    "depreciation",
    "energy",
    "opex",
    "external",
    "booked",
    "marginal",
    "energy_wh",
    "co2e_g",
)


def table_csv(report: CostReport) -> str:
    """A line for each group, one for the idle time, one for the whole; money in the report's currency."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIELDS, "currency"])
    for line in report.lines:
        writer.writerow([*(safe(getattr(line, name)) for name in FIELDS), report.currency])
    idle = {
        "name": "(idle)",
        "busy_s": report.idle.seconds,
        "booked": report.idle.cost,
        "energy_wh": report.idle.energy_wh,
        "co2e_g": report.idle.co2e_g,
    }
    whole = {
        "name": "(all)",
        "requests": report.whole.requests,
        "booked": report.cost,
        "energy_wh": report.energy_wh,
        "co2e_g": report.co2e_g,
    }
    for last in (idle, whole):
        writer.writerow([*(last.get(name, "") for name in FIELDS), report.currency])
    return out.getvalue()


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
