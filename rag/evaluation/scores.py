"""How right an answer is: the scores of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def f1(answer: str, gold: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of words, 0 to 1, for the gold answer that fits best."""
    return max((_f1(words(answer), words(one)) for one in gold), default=0.0)


def contains(answer: str, gold: Sequence[str]) -> bool:
    """Whether one of the gold answers stands in the answer, word by word."""
    said = f" {' '.join(words(answer))} "
    return any(f" {' '.join(found)} " in said for one in gold if (found := words(one)))


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation and English articles."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def _f1(said: list[str], gold: list[str]) -> float:
    common = sum((Counter(said) & Counter(gold)).values())
    return 2 * common / (len(said) + len(gold)) if common else 0.0
