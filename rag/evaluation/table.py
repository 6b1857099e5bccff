"""What a measurement found, as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rag.evaluation.statistics import Interval
from rag.evaluation.verdict import Finding, Verdict

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.NOT_PROVEN: "yellow"}


def show(findings: Sequence[Finding]) -> None:
    """Print one column per arm."""
    first = findings[0]
    scores = f"F1 {first.f1:.3f}, contains {first.contains:.0%}"
    title = f"{first.f1_drop.count} questions; full recomputation: {scores}"
    table = Table("", *(finding.arm.name for finding in findings), title=title, title_justify="left")
    for name, *cells in zip(*(_column(finding) for finding in findings), strict=True):
        table.add_row(name[0], *(value for _, value in (name, *cells)))
    console = Console()
    console.print(table)
    for finding in findings:
        verdict = f"[{COLOURS[finding.verdict]}]{finding.verdict}[/]"
        console.print(f"{finding.arm.name}: {verdict} {finding.reason}".rstrip(), highlight=False)


def _column(finding: Finding) -> list[tuple[str, str]]:
    return [
        ("KL of the next token, nats", f"{finding.kl_mean:.3f} (p95 {finding.kl_p95:.3f})"),
        ("gold answer, nats per token", _plain(finding.nll)),
        ("F1 drop, points", _points(finding.f1_drop)),
        *((f"  of {hops} hop{'s'[: hops - 1]}", _points(drop)) for hops, drop in finding.hops.items()),
        ("contains drop, points", _points(finding.contains_drop)),
        ("same first token", f"{finding.first_agrees:.0%}"),
        ("needles, by passage", " ".join(f"{here}/{before}" for here, before in finding.needles) or "-"),
        ("tokens reused", f"{finding.cached:.0%}, {finding.approximate:.0%} approximately"),
    ]


def _points(found: Interval) -> str:
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _plain(found: Interval) -> str:
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
