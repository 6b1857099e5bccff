"""The cost-quality curve as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rag.evaluation.charts import EDGE, HEIGHT, WIDTH, axis, picture, text
from rag.evaluation.page import POLICY, STYLE
from rag.evaluation.routing import Curve, Point

LINES = "polyline { fill: none; stroke: #3b6ea8; stroke-width: 2; }"


def routing_page(title: str, curve: Curve, chosen: Sequence[tuple[str, Point]]) -> str:
    """The whole page; it needs no network and no script. `chosen`: points with what chose them."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td class=number>{cell}</td>' for cell in cells(point))}</tr>"
        for name, point in chosen
    )
    head = "<th></th><th>threshold</th><th>dear calls</th><th>quality</th><th>cost</th>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{LINES}</style></head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{plot(curve, [point for _, point in chosen])}\n"
        '<p class="quiet">Quality over the share of calls of the dear tier; dashed: drawn by chance.</p>\n'
        f"<table><tr>{head}</tr>{rows}</table>\n</body></html>\n"
    )


def cells(point: Point) -> tuple[str, ...]:
    """The numbers of a point."""
    return f"{point.threshold:.3f}", f"{point.strong:.1%}", f"{point.quality:.3f}", f"{point.cost:.4g}"


def plot(curve: Curve, chosen: Sequence[Point]) -> str:
    """The curve, the line of chance, and the chosen points."""
    values = [point.quality for point in curve.points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(point: Point) -> tuple[float, float]:
        x = EDGE + point.strong * (WIDTH - 2 * EDGE)
        return x, HEIGHT - EDGE - (point.quality - low) / span * (HEIGHT - 2 * EDGE)

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, curve.points))
    (x1, y1), (x2, y2) = place(curve.weak), place(curve.strong)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{", ".join(cells(point))}</title></circle>'
        for point in chosen
        for x, y in [place(point)]
    )
    ends = text(EDGE, HEIGHT - 12, "0 %") + text(WIDTH - EDGE, HEIGHT - 12, "100 % of calls", "end")
    span_told = text(EDGE, EDGE - 10, f"quality {low:.3f} to {high:.3f}")
    chance = f'<line class="even" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    return picture(
        "quality over calls of the dear tier",
        f'{chance}<polyline points="{line}"/>{dots}{axis()}{ends}{span_told}',
    )
