"""An evaluation as one HTML file: numbers, distributions, calibration, and the questions that went worst."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rag.evaluation.charts import calibration_error, diagram, histogram, reliability
from rag.evaluation.comparison import Change
from rag.evaluation.declining import declining
from rag.evaluation.record import DECLINED, KINDS, Asked, Record, Shown, quantile

WORST = 20
# The page may load nothing and run nothing, whatever stands in a passage.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem;
       padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid #dde2e8; }
.worse { color: #a3260f; font-weight: 600; } .charts { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption, .quiet { color: #5a6675; } svg rect, svg circle { fill: #3b6ea8; }
svg circle { fill-opacity: .7; } svg text { font: 11px system-ui, sans-serif; fill: #5a6675; }
.axis { stroke: #8b96a5; } .even { stroke: #b9c1cc; stroke-dasharray: 4 3; }
details { border-bottom: 1px solid #dde2e8; padding: .5rem 0; } summary { cursor: pointer; }
blockquote { border-left: 3px solid #cdd4dd; margin: .4rem 0; padding: 0 .8rem; white-space: pre-wrap; }
blockquote.relevant { border-color: #3b8a4f; }
"""


def page(record: Record, changes: Sequence[Change] = ()) -> str:
    """The whole page; it needs no network and no script."""
    title = f"rag eval {record.kind}: {record.dataset}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(record.date)}, {len(record.asked)} questions, seed {record.seed}</p>',
        numbers(record, changes),
        distributions(record),
        calibration(record),
        refusals(record),
        worst(record),
        bindings(record),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def numbers(record: Record, changes: Sequence[Change]) -> str:
    """The table of all scores, with what changed since the baseline."""
    changed = {each.name: each for each in changes}
    head = "<th>score</th><th>mean</th><th>95 % interval</th><th>median</th><th>p95</th><th>questions</th>"
    head += "<th>baseline</th><th>worse by</th><th>lost / won</th><th>p</th>" if changes else ""
    rows = []
    for name, measured in record.measures().items():
        values = record.values(name)
        cells = [
            f"{measured.mean:.4g}",
            f"{measured.low:.4g} to {measured.high:.4g}",
            f"{quantile(values, 0.5):.4g}",
            f"{quantile(values, 0.95):.4g}",
            str(measured.count),
        ]
        if change := changed.get(name):
            drop = change.drop
            cells += [f"{change.before:.4g}", f"{drop.mean:+.4f} [{drop.low:+.4f}, {drop.high:+.4f}]"]
            cells += [f"{change.lost} / {change.won}" if change.p is not None else ""]
            cells += [f"{change.p:.3f}" if change.p is not None else ""]
        label = escape(record.label(name))
        mark = ' class="worse"' if change and change.is_worse else ""
        rows.append(f"<tr{mark}><th>{label}</th>{''.join(f'<td class=number>{c}</td>' for c in cells)}</tr>")
    return f"<h2>Numbers</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def distributions(record: Record) -> str:
    """A histogram of every score that is more than yes or no."""
    figures = []
    for name in record.measures():
        values = record.values(name)
        if set(values) - {0.0, 1.0}:
            label = KINDS[name].label
            chart = histogram(values, label, share=KINDS[name].judged)
            figures.append(f"<figure><figcaption>{escape(label)}</figcaption>{chart}</figure>")
    return f'<h2>Distributions</h2><div class="charts">{"".join(figures)}</div>' if figures else ""


def calibration(record: Record) -> str:
    """The reliability diagram of the answers that were given, where the system says how sure it is."""
    pairs = [
        (each.confidence, each.scores["right"] == 1.0)
        for each in record.asked
        if each.confidence is not None and "right" in each.scores and each.outcome not in DECLINED
    ]
    if not pairs:
        return ""
    bins = reliability(pairs)
    told = f"expected calibration error {calibration_error(bins):.3f} over {len(pairs)} answers"
    return f"<h2>Calibration</h2><p>{told}</p>{diagram(bins, 'reliability diagram')}"


def refusals(record: Record) -> str:
    """What other bars of confidence would do with the same questions, where some cannot be answered."""
    choice = declining(record)
    if not choice:
        return ""
    head = "<th>answering.decline_below</th>"
    head += f"<th>refused, of {choice.answerable} answerable</th>"
    head += f"<th>declined, of {choice.unanswerable} unanswerable</th>"
    rows = "".join(
        f"<tr><th>{bar.below:.2f}</th><td class=number>{bar.refused:.0%}</td>"
        f"<td class=number>{bar.declined:.0%}</td></tr>"
        for bar in choice.bars
    )
    told = f"an answerable question has the higher confidence in {choice.auc:.0%} of all pairs (AUC)"
    return f"<h2>Declining</h2><p>{told}</p><table><tr>{head}</tr>{rows}</table>"


def worst(record: Record) -> str:
    """The questions with the lowest scores, with what was found."""
    main = "right" if record.kind == "answers" else "ndcg@10"
    found = sorted(
        (each for each in record.asked if main in each.scores and each.scores[main] < 1),
        key=lambda each: (each.scores[main], each.scores.get("f1", 0.0)),
    )[:WORST]
    if not found:
        return ""
    return f"<h2>Worst questions</h2>{''.join(question(each, each.scores[main]) for each in found)}"


def question(asked: Asked, score: float) -> str:
    """One question, folded."""
    gold = " / ".join(asked.gold) or "the documents do not say"
    parts = [f"<summary>{score:.2f} · {escape(asked.question)}</summary>"]
    parts.append(f"<p><b>gold:</b> {escape(gold[:600])}</p>")
    if asked.answer:
        parts.append(f"<p><b>{escape(asked.outcome)}:</b> {escape(asked.answer)}</p>")
    return f"<details>{''.join(parts)}{''.join(map(passage, asked.passages))}</details>"


def passage(found: Shown) -> str:
    """One passage; a relevant one has a green edge."""
    kind = ' class="relevant"' if found.relevant else ""
    head = (
        f"<b>{escape(found.title or found.id)}</b> {found.score:.3f}{' · relevant' if found.relevant else ''}"
    )
    return f"<blockquote{kind}>{head}\n{escape(found.text)}</blockquote>"


def bindings(record: Record) -> str:
    """What the numbers depend on."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in record.bound.items()
    )
    return f"<h2>Measured with</h2><table>{rows}</table>"
