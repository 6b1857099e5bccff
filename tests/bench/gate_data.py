"""Questions for `rag eval chunk-cache`, from the developer set: squad2 for one hop, hotpotqa for two.

    python tests/bench/gate_data.py DEV_SET FOLDER [questions of each]

Passages are cut to some sentences around the answer, and come with the ones of the set that look most alike.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from random import Random
from typing import Any

SETS = {"squad2": 1, "hotpotqa": 2}
WORDS = 100
PASSAGES = 6
NAME = re.compile(r"[^\W\d_]{4,}")


def lines(file: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def excerpt(text: str, answers: list[str]) -> str:
    """At most WORDS words of whole sentences, with the answer among them if it is there."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    at = next((n for n, one in enumerate(sentences) if any(gold in one for gold in answers)), 0)
    begin, end = at, at + 1
    while begin > 0 or end < len(sentences):
        fits = {
            grown: len(" ".join(sentences[slice(*grown)]).split()) <= WORDS
            for grown in ((begin, end + 1), (begin - 1, end))
            if grown[0] >= 0 and grown[1] <= len(sentences)
        }
        chosen = next((grown for grown, good in fits.items() if good), None)
        if chosen is None:
            break
        begin, end = chosen
    return " ".join(" ".join(sentences[begin:end]).split()[: 2 * WORDS])


def questions(folder: Path, hops: int, count: int) -> list[dict[str, Any]]:
    """Some questions of a set, each with its gold passages first and look-alikes behind them."""
    corpus = {row["_id"]: row for row in lines(folder / "corpus.jsonl")}
    names = {key: set(NAME.findall(f"{row['title']} {row['text']}".lower())) for key, row in corpus.items()}
    rows = [row for row in lines(folder / "answers.jsonl") if row["answerable"]]
    found = []
    for row in Random(1).sample(rows, min(count, len(rows))):
        asked = set(NAME.findall(row["question"].lower()))
        others = sorted(corpus.keys() - set(row["gold_ids"]), key=lambda key: (-len(asked & names[key]), key))
        # A look-alike that holds the answer too would make two passages gold.
        others = [key for key in others if not any(gold in corpus[key]["text"] for gold in row["answers"])]
        kept = [*row["gold_ids"], *others][:PASSAGES]
        passages = [
            {"title": corpus[key]["title"], "text": excerpt(corpus[key]["text"], row["answers"])}
            for key in kept
        ]
        found.append(
            {"question": row["question"], "answers": row["answers"], "passages": passages, "hops": hops}
        )
    return found


def main(dev_set: str, target: str, count: str = "200") -> None:
    """Write FOLDER/questions.jsonl."""
    found = [
        row for name, hops in SETS.items() for row in questions(Path(dev_set) / "qa" / name, hops, int(count))
    ]
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    (folder / "questions.jsonl").write_text(text, "utf-8")
    print(f"{len(found)} questions in {folder / 'questions.jsonl'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
