"""Which row a phrase means, and how sure that is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.answering.tables.grid import Grid, Line
from rag.answering.tables.periods import without
from rag.answering.vocabulary import ASIDES, FUNCTION_WORDS, MONTHS, SCAFFOLD, TELLING
from rag.answering.words import STEM_LETTERS, WORD

SHORT_NAME = re.compile(r"\([“\"]([^”\"]+)[”\"]\)")  # Apple Inc. (“Apple”)
COVERED = 0.74  # of the weight of a phrase, by the row, its column and the words around the table
NAMED = 0.6  # of the words of the row's own name
LEAD = 0.08  # over the next best row
ASIDE = 0.6  # what a word counts that only the text around the table has


@dataclass(frozen=True, slots=True)
class Match:
    """A row found for a phrase: `score` in [0, 1]; `sure` when no other is near and no word is left over."""

    row: int
    score: float
    sure: bool


def root(word: str) -> str:
    """A word without its plural, cut to what inflected forms share."""
    word = word.lower()
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = re.sub(r"ie$", "y", re.sub(r"(?<=x|h|s)es$|s$", "", word))
    return word[:STEM_LETTERS]


TELLING_ROOTS = frozenset(map(root, TELLING))
SKIPPED = (FUNCTION_WORDS - TELLING) | SCAFFOLD | ASIDES | MONTHS.keys()


@lru_cache(maxsize=8192)
def words(text: str) -> frozenset[str]:
    """The roots of the words of a label or phrase, without times and small words.

    Each label is asked for again with every phrase, so it is remembered; who computes forgets in the end.
    """
    plain = [word.lower() for word in WORD.findall(without(text))]
    return frozenset(root(word) for word in plain if word not in SKIPPED)


def core(label: str) -> frozenset[str]:
    """The words of a label that must be asked for: its own short name, else those outside parentheses."""
    if short := SHORT_NAME.search(label):
        return words(short[1])
    return words(re.sub(r"\([^)]*\)", " ", label)) or words(label)


def match(
    grid: Grid, phrase: str, *, rows: Sequence[int], beside: frozenset[str], caption: frozenset[str]
) -> Match | None:
    """The row that a phrase names. `beside`: words that the column accounts for; `caption`: those around."""
    wanted = words(phrase)
    if not wanted or not rows:
        return None
    if len(rows) == 1 and not core(grid.rows[rows[0]].name):
        # The time alone named the row.
        covered = sum(1.0 if word in beside else ASIDE if word in caption else 0.0 for word in wanted)
        return Match(rows[0], covered / len(wanted), covered >= COVERED * len(wanted))
    named = {n: words(line.name) for n, line in enumerate(grid.rows)}
    weigh = rarity(wanted, [named[n] for n in rows])
    fits = {n: fit(grid.rows[n], named[n], weigh, beside, caption) for n in rows}
    best = max(rows, key=lambda n: fits[n].score)
    rival = max((fits[n].score for n in rows if n != best), default=0.0)
    found = fits[best]
    others = frozenset().union(*named.values())
    # A word that tells rows apart, and is not of this row, means that another one is asked for.
    missed = wanted - named[best] - words(grid.rows[best].section) - beside
    stray = bool(missed & ((others - caption) | TELLING_ROOTS))
    sure = found.covered >= COVERED and found.named >= NAMED and found.score - rival >= LEAD and not stray
    return Match(best, found.score, sure)


def rarity(wanted: frozenset[str], labels: Sequence[frozenset[str]]) -> dict[str, float]:
    """Each word's weight: rare ones among the labels weigh more, those in none as much as the rarest."""
    frequency = Counter(word for label in labels for word in label)
    return {word: math.log(1 + (len(labels) + 1) / (max(1, frequency[word]) + 0.5)) for word in wanted}


@dataclass(frozen=True, slots=True)
class Fit:
    """`covered`: the part of the phrase accounted for; `named`: the part of the label that is asked for."""

    score: float
    covered: float
    named: float


def fit(
    line: Line, own: frozenset[str], weigh: dict[str, float], beside: frozenset[str], caption: frozenset[str]
) -> Fit:
    """How well a phrase names a line, whose own words are `own`."""
    total = sum(weigh.values())
    direct = sum(weight for word, weight in weigh.items() if word in own)
    if not direct:
        return Fit(0.0, 0.0, 0.0)
    under, needed = words(line.section), core(line.name)
    above = sum(weight for word, weight in weigh.items() if word in under - own)
    across = sum(weight for word, weight in weigh.items() if word in beside - own - under)
    around = sum(weight for word, weight in weigh.items() if word in caption - beside - own - under)
    precise = len(needed & weigh.keys()) / len(needed) if needed else 0.0
    # The section tells twins apart; what the column accounts for was not meant for the row.
    reach = (direct + 0.7 * above) / (total - across) if total > across else 1.0
    reach = min(1.0, reach)
    score = 2 * reach * precise / (reach + precise) if precise else 0.0
    # A row without a name is the total of what the text speaks of.
    aside = ASIDE if line.label else 1.0
    return Fit(score, (direct + above + across + aside * around) / total, precise)
