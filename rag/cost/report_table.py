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
PARTS = ("depreciation", "energy", "opex", "energy_wh", "co2e_g")  # of idle time, besides its seconds


def table_csv(report: CostReport) -> str:
    """A line for each group, one for the idle time, one for the whole; money in the report's currency."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIELDS, "currency"])
    for line in report.lines:
        writer.writerow([*(safe(getattr(line, name)) for name in FIELDS), report.currency])
    unused = {"busy_s": report.idle.seconds, "booked": report.idle.cost}
    unused |= {name: getattr(report.idle, name) for name in PARTS}
    # Nobody wrote or paid for anything in idle time: a 0, so that every column adds up to its last line.
    idle = [unused.get(name, 0) for name in FIELDS[1:]]
    whole = [getattr(report.whole, name) + unused.get(name, 0) for name in FIELDS[1:]]
    for name, last in (("(idle)", idle), ("(all)", whole)):
        writer.writerow([name, *last, report.currency])
    return out.getvalue()


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
