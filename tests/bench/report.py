"""What every suite of the bench shares: a row per number, its machine and commit, the table and the file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).resolve().parent / "out"


@dataclass(frozen=True)
class Row:
    """One measured number. `peer_value` is what it is compared with, `target` what it should reach.

    `lower_is_better` turns the comparison round, for times and costs.
    """

    measure: str
    ours: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    target: float | None = None
    lower_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's; None without a peer."""
        return self.ours / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.ours <= self.target if self.lower_is_better else self.ours >= self.target


def write(suite: str, rows: Sequence[Row]) -> Path:
    """Print the rows as a table and write them to out/SUITE.json."""
    found_on, found_at = machine(), commit()
    records = [
        {key: value for key, value in asdict(row).items() if key != "lower_is_better"}
        | {"ratio": row.ratio, "met": row.met, "machine": found_on, "commit": found_at}
        for row in rows
    ]
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{suite}.json"
    path.write_text(json.dumps(records, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(table(rows))
    print(f"{suite}: {found_on}, commit {found_at}")
    return path


def table(rows: Sequence[Row]) -> str:
    """The rows in columns that line up."""
    lines = [("measure", "ours", "unit", "peer", "peer value", "ratio", "target", "met")]
    for row in rows:
        met = {None: "", True: "yes", False: "NO"}[row.met]
        numbers = [shown(row.peer_value), shown(row.ratio), shown(row.target)]
        lines.append((row.measure, shown(row.ours), row.unit, row.peer, *numbers, met))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def shown(value: float | None) -> str:
    """A number with as many digits as a reader wants."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def machine() -> str:
    """The processor, its usable cores and the memory, in words."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GB"


def commit() -> str:
    """The commit measured, with "+" when files differ from it; "none" outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "none"
