"""How many of tatqa's numeric questions are answered exactly from the table, and how many wrongly."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from report import ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from rag.answering.tables.evidence import Computed, compute
from rag.types import Chunk, Passage

TATQA = ROOT.parent / "shared" / "data" / "dev_set" / "qa" / "tatqa"
NUMBER = re.compile(
    r"\(?[-−]?\s*[$€£]?\s*\(?[-−]?([\d,]*\.?\d+)\)?\s*(?:%|per cent|percent|million|thousand)?\)?"
)
CLOSE = Decimal("0.005")  # a gold answer is rounded


@dataclass(frozen=True)
class Asked:
    """One numeric question with its document, what the table said to it, and the milliseconds that took."""

    id: str
    gold: tuple[Decimal, ...]
    scale: str
    worked_out: bool
    found: Computed | None
    took_ms: float

    @property
    def reported(self) -> bool:
        """The half that no rule was written on."""
        return hashlib.sha256(self.id.encode()).digest()[-1] % 2 == 1

    @property
    def right(self) -> bool:
        """Every gold number was given, and no other; within rounding."""
        values = self.found.reckoning.values if self.found else ()
        return len(values) == len(self.gold) and all(
            any(abs(value - gold) <= max(abs(gold) * CLOSE, CLOSE) for value in values) for gold in self.gold
        )

    @property
    def scaled(self) -> bool:
        """Right, and in the scale that the set says."""
        if not self.found or not self.right:
            return False
        told = "percent" if self.found.reckoning.unit == "%" else self.found.reckoning.scale
        return told == self.scale


def number(text: str) -> Decimal | None:
    match = NUMBER.fullmatch(text.strip())
    if not match:
        return None
    value = Decimal(match[1].replace(",", ""))
    return -value if re.search(r"[-−]|^\(", text.strip()) else value


def questions() -> Iterator[Asked]:
    """The questions whose answer is a number of a table: looked up, worked out, or counted."""
    corpus = {row["_id"]: row for row in map(json.loads, (TATQA / "corpus.jsonl").open(encoding="utf-8"))}
    for row in map(json.loads, (TATQA / "answers.jsonl").open(encoding="utf-8")):
        gold = [number(each) for each in row["answers"]]
        if row["answer_from"] == "text" or None in gold:
            continue
        document = corpus[row["gold_ids"][0]]
        chunk = Chunk(document["_id"], 0, document["text"], kind="table")
        passage = Passage(chunk, document["_id"], 1, document["title"], document["title"], 1.0)
        started = time.perf_counter()
        found = compute(row["question"], [passage])
        took_ms = (time.perf_counter() - started) * 1000
        kept = tuple(each for each in gold if each is not None)
        yield Asked(row["_id"], kept, row["scale"], row["scoring"] == "numeric", found, took_ms)


def measures(name: str, asked: Sequence[Asked]) -> Iterator[Row]:
    answered = [each for each in asked if each.found]
    right = sum(each.right for each in asked)
    yield Row(f"{name}: answered exactly", right / len(asked), f"share of {len(asked)}", target=0.60)
    yield Row(f"{name}: exactly, scale too", sum(each.scaled for each in asked) / len(asked), "share")
    yield Row(f"{name}: right where it answers", right / max(1, len(answered)), f"share of {len(answered)}")


def main() -> None:
    if not TATQA.exists():
        raise SystemExit(f"the developer set is not at {TATQA}: nothing to measure")
    asked = list(questions())
    rows: list[Row] = []
    for half, part in (
        ("developed on", [each for each in asked if not each.reported]),
        ("held out", [each for each in asked if each.reported]),
    ):
        rows += measures(f"worked out, {half}", [each for each in part if each.worked_out])
        rows += measures(f"looked up, {half}", [each for each in part if not each.worked_out])
    slowest = sorted(each.took_ms for each in asked)[-max(1, len(asked) // 20)]
    rows.append(Row("computing p95", slowest, "ms", lower_is_better=True))
    write("tables", rows)


if __name__ == "__main__":
    main()
