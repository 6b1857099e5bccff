"""How right an answer is: the scores of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250), and of numbers."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from rag.answering.facts import quantities

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)

FALLS = re.compile(r"\b(?:fell|falls?|decreas\w*|declin\w*|drop\w*|down|lower|less|loss\w*|reduc\w*)\b", re.I)
TOLERANCE = Decimal("0.01")  # of the right number: rounding is no error
SCALES = {
    "thousand": Decimal(10**3),
    "million": Decimal(10**6),
    "billion": Decimal(10**9),
    "percent": Decimal("0.01"),
}


def exact(answer: str, gold: Sequence[str]) -> bool:
    """Whether the answer is one of the gold answers, word by word."""
    return any(words(answer) == words(one) for one in gold)


def f1(answer: str, gold: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of words, 0 to 1, for the gold answer that fits best."""
    return max((_f1(words(answer), words(one)) for one in gold), default=0.0)


def contains(answer: str, gold: Sequence[str]) -> bool:
    """Whether one of the gold answers stands in the answer, word by word."""
    said = f" {' '.join(words(answer))} "
    return any(f" {' '.join(found)} " in said for one in gold if (found := words(one)))


def recall(answer: str, gold: Sequence[str]) -> float:
    """The share of a gold answer's words that are said, for the gold answer that fits best."""
    said = Counter(words(answer))
    shares = [(found & said).total() / found.total() for one in gold if (found := Counter(words(one)))]
    return max(shares, default=0.0)


def numeric(answer: str, gold: Sequence[str], scale: str = "") -> bool:
    """Whether a gold number stands in the answer, as it is or with its scale, within TOLERANCE.

    A minus may also be said: "fell by 3" answers -3, and "rose by 3" does not.
    """
    factor = SCALES.get(scale.lower().rstrip("s"), Decimal(1))
    falls = FALLS.search(answer) is not None
    said = values(answer)
    return any(
        abs(value - number) <= TOLERANCE * abs(number)
        for wanted in (value for one in gold for value in values(one))
        for size in (wanted, wanted * factor)
        for number in ((size, -size) if falls and size < 0 else (size,))
        for value in said
    )


def values(text: str) -> set[Decimal]:
    """Every number of a text, in each way that it may be read."""
    return {value for each in quantities(text, with_dates=True) for value in each.values}


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation and English articles."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def _f1(said: list[str], gold: list[str]) -> float:
    common = sum((Counter(said) & Counter(gold)).values())
    return 2 * common / (len(said) + len(gold)) if common else 0.0
