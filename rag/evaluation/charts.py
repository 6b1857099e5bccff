"""Small charts as SVG text, to be put into a page: nothing is fetched, nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, EDGE = 320, 180, 30
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of similar confidence: its mean, the share that was right, and how many they are."""

    confidence: float
    right: float
    count: int


def reliability(pairs: Sequence[tuple[float, bool]]) -> list[Bin]:
    """Pairs of confidence in [0, 1] and right, in ten bins of equal width; empty ones are left out."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance, right in pairs:
        bins[min(BINS - 1, max(0, int(chance * BINS)))].append((chance, right))
    return [
        Bin(
            sum(chance for chance, _ in found) / len(found),
            sum(right for _, right in found) / len(found),
            len(found),
        )
        for found in bins
        if found
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599): how far confidence is from right."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.right) for each in bins) / total if total else 0.0


def histogram(values: Sequence[float], label: str, *, share: bool = False) -> str:
    """How many values lie where, in ten bins from the least to the largest, or of shares from 0 to 1."""
    low, high = (0.0, 1.0) if share else (min(values), max(values))
    span = (high - low) or 1.0
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / span * BINS))] += 1
    most = max(counts)
    step = (WIDTH - 2 * EDGE) / BINS
    bars = []
    for number, count in enumerate(counts):
        height = (HEIGHT - 2 * EDGE) * count / most
        bars.append(
            f'<rect x="{EDGE + number * step:.1f}" y="{HEIGHT - EDGE - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}"><title>{count}</title></rect>'
        )
    ends = text(EDGE, HEIGHT - 12, f"{low:.3g}") + text(WIDTH - EDGE, HEIGHT - 12, f"{high:.3g}", "end")
    return picture(label, "".join(bars) + axis() + ends + text(EDGE, EDGE - 10, f"at most {most} questions"))


def diagram(bins: Sequence[Bin], label: str) -> str:
    """A reliability diagram: what was right over what was thought; on the line it is calibrated."""
    side = HEIGHT - 2 * EDGE
    most = max(each.count for each in bins)

    def place(x: float, y: float) -> tuple[float, float]:
        return EDGE + x * side, HEIGHT - EDGE - y * side

    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    line = f'<line class="even" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
    dots = []
    for each in bins:
        x, y = place(each.confidence, each.right)
        radius = 3 + 6 * (each.count / most) ** 0.5
        told = f"confidence {each.confidence:.2f}, right {each.right:.2f}, {each.count} answers"
        dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{told}</title></circle>')
    names = text(EDGE, EDGE - 10, "right") + text(EDGE + side, HEIGHT - 12, "confidence", "end")
    return picture(label, axis(EDGE + side) + line + "".join(dots) + names)


def picture(label: str, inside: str) -> str:
    """An SVG with a name that is read aloud."""
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{inside}</svg>'
    )


def axis(right: float = WIDTH - EDGE) -> str:
    """The line below, as far as that, and the line on the left."""
    low = HEIGHT - EDGE
    return (
        f'<line class="axis" x1="{EDGE}" y1="{low}" x2="{right}" y2="{low}"/>'
        f'<line class="axis" x1="{EDGE}" y1="{EDGE}" x2="{EDGE}" y2="{low}"/>'
    )


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
