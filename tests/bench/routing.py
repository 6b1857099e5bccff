"""How well questions are told apart, what a dearer tier buys, how quick that is, and what redaction finds."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from report import ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from rag.evaluation.commands.routing import comparable, embedder, need_of, told_apart
from rag.evaluation.routing import (
    Compared,
    Labelled,
    checked,
    curve,
    held_out,
    inputs_of,
    macro_f1,
    read,
    scores,
)
from rag.routing.personal_data import DataKind, find
from rag.routing.recording import line
from rag.routing.router import Case, Router
from rag.routing.signals import Evidence
from rag.routing.tiers import declared
from rag.routing.triage import Triage
from rag.settings import RoutingSettings, Settings

DEV_SET = ROOT.parent / "shared" / "data" / "dev_set"
SEED = 1
TIERS = ("extract", "small", "large", "outside")
STRUCTURED = {
    "CREDIT_CARD": DataKind.CARD,
    "EMAIL_ADDRESS": DataKind.EMAIL,
    "PHONE_NUMBER": DataKind.PHONE,
    "IBAN_CODE": DataKind.IBAN,
    "IP_ADDRESS": DataKind.IP,
    "US_SSN": DataKind.TAX_ID,
    "US_DRIVER_LICENSE": DataKind.TAX_ID,
}
LOOSE = {"STREET_ADDRESS": DataKind.ADDRESS, "ZIP_CODE": DataKind.ADDRESS, "PERSON": DataKind.NAME}


def main() -> None:
    """Measure everything on the developer set."""
    if not DEV_SET.exists():
        sys.exit("the developer set is not beside this repository (../shared/data/dev_set): nothing measured")
    settings = Settings()
    embed = embedder(settings)
    write("routing", [*kinds(embed, settings), *need(embed), *personal_data()])


def kinds(embed: object, settings: Settings) -> Iterator[Row]:
    """The packaged weights on the half they were not trained on, and what one decision takes."""
    rows = [row for row in read(DEV_SET / "router" / "route.jsonl") if isinstance(row, Labelled)]
    vectors = np.asarray(embed([row.text for row in rows]))  # type: ignore[operator]
    triage, router = Triage.of(), Router(TIERS, "small", RoutingSettings())
    declared(settings)
    told, spent = [], []
    for row, vector in zip(rows, vectors.tolist(), strict=True):
        began = time.perf_counter()
        signals = triage.signals(
            row.text, vector, embedder=triage.embedder, in_conversation=row.in_conversation
        )
        line(router.choose(Case(signals, Evidence(0.6, 0.7, 0.1, 8, 4), closed={"outside": "egress"})))
        spent.append(1000 * (time.perf_counter() - began))
        told.append(signals.kind.value)
    unseen = [(row.label, one) for row, one in zip(rows, told, strict=True) if held_out(row.text, 0.5)]
    found = scores(*zip(*unseen, strict=True))
    for score in found:
        yield Row(f"F1 of {score.label}, held out ({score.count})", score.f1, "")
    yield Row(f"macro-F1, held out ({len(unseen)})", macro_f1(found), "", target=0.85)
    inputs = inputs_of([row.text for row in rows], lambda _: vectors)
    for count in (2, 10):
        yield Row(f"macro-F1, {count} folds", macro_f1(told_apart(rows, inputs, count, 0.0, SEED)), "")
    words = inputs_of([row.text for row in rows], None)
    yield Row("macro-F1, 10 folds, no vector", macro_f1(told_apart(rows, words, 10, 0.0, SEED)), "")
    yield Row("decision p50", float(np.quantile(spent, 0.5)), "ms", lower_is_better=True)
    yield Row("decision p95", float(np.quantile(spent, 0.95)), "ms", target=5.0, lower_is_better=True)


def need(embed: object) -> Iterator[Row]:
    """What knowing the question alone saves of the dear tier's calls; the points of the curve."""
    rows = [row for row in read(DEV_SET / "router" / "model_size.jsonl") if isinstance(row, Compared)]
    inputs, labels = comparable(rows, embed)  # type: ignore[arg-type]
    chance = 1 - cheapest_by_chance(rows)
    saved = []
    for seed in range(1, 6):
        chances = need_of(inputs, labels, 10, seed)
        saved.append(1 - curve(rows, chances).cheapest(0.95).strong)
    drawn = curve(rows, need_of(inputs, labels, 10, SEED))
    for share in (0.2, 0.4, 0.6, 0.8):
        point = min(drawn.points, key=lambda each: abs(each.strong - share))
        by_chance = drawn.by_chance(point.strong)
        yield Row(f"quality at {share:.0%} dear calls", point.quality, "", "by chance", by_chance)
    yield Row("dear calls saved at 95 % quality", float(np.mean(saved)), "", "by chance", chance, target=0.4)
    # The order among equals is told too, so that a threshold can part them.
    known = [row.strong - row.weak - place * 1e-9 for place, row in enumerate(rows)]
    yield Row("the same, if need were known", 1 - curve(rows, known).cheapest(0.95).strong, "")
    honest = checked(rows, need_of(inputs, labels, 10, SEED), 0.95, SEED)
    yield Row("saved, threshold of the other half", 1 - honest.strong, "")
    yield Row("its share of the dear quality", honest.quality, "")


def cheapest_by_chance(rows: Sequence[Compared]) -> float:
    """The share of dear calls that chance needs for 95 % of the dear quality."""
    weak, strong = (sum(getattr(row, name) for row in rows) for name in ("weak", "strong"))
    return float((0.95 * strong - weak) / (strong - weak))


def personal_data() -> Iterator[Row]:
    """Recall and precision by kind. A span counts when one finding of its kind holds all of it."""
    lines = (DEV_SET / "pii" / "pii.jsonl").read_text("utf-8").splitlines()
    wanted, hit, said, right = (Counter[DataKind]() for _ in range(4))
    names = STRUCTURED | LOOSE
    for row in map(json.loads, lines):
        spans = [(names[s["type"]], s["start"], s["end"]) for s in row["spans"] if s["type"] in names]
        findings = find(row["text"])
        for kind, start, end in spans:
            wanted[kind] += 1
            hit[kind] += any(one.kind is kind and one.start <= start and end <= one.end for one in findings)
        for one in findings:
            said[one.kind] += 1
            right[one.kind] += any(
                one.kind is kind and one.start < end and start < one.end for kind, start, end in spans
            )
    for kind in dict.fromkeys(names.values()):
        yield Row(f"{kind.value} recall ({wanted[kind]})", hit[kind] / wanted[kind], "")
        yield Row(f"{kind.value} precision ({said[kind]})", right[kind] / said[kind], "")
    kinds = set(STRUCTURED.values())
    told, found = sum(said[kind] for kind in kinds), sum(wanted[kind] for kind in kinds)
    yield Row("structured recall", sum(hit[kind] for kind in kinds) / found, "", target=0.95)
    yield Row("structured precision", sum(right[kind] for kind in kinds) / told, "", target=0.90)
    yield from other_text()


def other_text() -> Iterator[Row]:
    """How much of text about no person is touched, and how long it takes."""
    corpus = DEV_SET / "qa" / "sec10q" / "corpus.jsonl"
    texts = [json.loads(row)["text"] for row in corpus.read_text("utf-8").splitlines()[:250]]
    words = sum(len(text.split()) for text in texts)
    began = time.perf_counter()
    touched = sum(len(find(text)) for text in texts)
    spent = time.perf_counter() - began
    yield Row("findings per 1,000 words of annual reports", 1000 * touched / words, "", lower_is_better=True)
    yield Row("search of 1,000 words", 1e6 * spent / words, "ms", lower_is_better=True)


if __name__ == "__main__":
    main()
