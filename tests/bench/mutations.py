"""How often a sentence of squad2 that was changed in one fact is refused, and the unchanged one accepted."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable

from report import ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from rag.answering.facts import negated
from rag.answering.grounding import check, windows
from rag.answering.sentences import sentences
from rag.types import Chunk

CORPUS = ROOT.parent / "shared" / "data" / "dev_set" / "qa" / "squad2" / "corpus.jsonl"
SENTENCES, SEED = 3000, 20251121
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
NAME = re.compile(r"(?<!^)\b[A-Z][\w’']+(?: [A-Z][\w’']+)*")
VERB = re.compile(r"\b(?:was|were|is|are|had|has|\w+ed)\b")
JOINT = re.compile(r"[,;]|\b(?:and|but|while)\b")
OBJECT = re.compile(
    r"^(.{12,}?\b(?:\w{3,}ed|built|wrote|led|won|made|held|found|took|gave))\b "
    r"(?:the|a|an|his|her|its|their) "
)


def swap(text: str, pattern: re.Pattern[str], between: re.Pattern[str]) -> str | None:
    """Two different matches of a pattern change places."""
    found = list(pattern.finditer(text))
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            apart = set(one[0].split()).isdisjoint(other[0].split())
            if apart and between.search(text, one.end(), other.start()):
                inner = text[one.end() : other.start()]
                return text[: one.start()] + other[0] + inner + one[0] + text[other.end() :]
    return None


def another_number(text: str) -> str | None:
    """The last digit of the first number is another one."""
    match = NUMBER.search(text)
    if not match:
        return None
    at = match.end() - 1
    return text[:at] + str((int(text[at]) + 3) % 10) + text[at + 1 :]


def replaced(pattern: str, by: str) -> Callable[[str], str | None]:
    def change(text: str) -> str | None:
        found = re.sub(pattern, by, text, count=1)
        return found if found != text else None

    return change


def denied(text: str) -> str | None:
    return (
        None
        if negated(text)
        else replaced(r"\b(was|were|is|are|can|may|will|should|has|had|have)\b", r"\1 not")(text)
    )


def cut_short(text: str) -> str | None:
    match = OBJECT.match(text)
    return f"{match[1]}." if match else None


CHANGES: dict[str, Callable[[str], str | None]] = {
    "names swapped": lambda text: swap(text, NAME, VERB),
    "numbers swapped": lambda text: swap(text, NUMBER, JOINT),
    "another number": another_number,
    "negation dropped": replaced(r"\b(?:not|never) |n['’]t\b", ""),
    "negation added": denied,
    "quantifier dropped": replaced(
        r"\b(?:some|most|many|several|few|usually|only|about|nearly|up to|at least|more than) ",
        "",
    ),
    "made stronger": replaced(r"\b(?:some|most|several|few) ", "all "),
    "object missing": cut_short,
}


def supported(claim: str, source: str) -> bool:
    """Whether every check but that of meaning is passed, which is taken as passed."""
    return any(check(claim, window, 1.0).supported for window in windows(Chunk("c", 0, source)))


def main() -> None:
    if not CORPUS.exists():
        raise SystemExit(f"the developer set is not at {CORPUS}: nothing to measure")
    found: list[str] = []
    for row in map(json.loads, CORPUS.open(encoding="utf-8")):
        found += [each.text for each in sentences(row["text"]) if 6 <= len(each.text.split()) <= 32]
    chosen = random.Random(SEED).sample(found, min(SENTENCES, len(found)))
    accepted = sum(supported(text, text) for text in chosen)
    rows = [Row("unchanged sentence accepted", accepted / len(chosen), f"share of {len(chosen)}")]
    for name, change in CHANGES.items():
        verdicts = Counter(supported(said, text) for text in chosen if (said := change(text)))
        count = verdicts.total()
        rows.append(Row(f"{name}: refused", verdicts[False] / count, f"share of {count}", target=1.0))
    write("mutations", rows)


if __name__ == "__main__":
    main()
