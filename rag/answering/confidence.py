"""How likely the best quotes answer the question: signs put together by a logistic regression."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

from rag.answering import conflicts, facts
from rag.answering.sentences import Sentence
from rag.answering.validity import agreement, without_bounds
from rag.answering.words import content, proper
from rag.settings import AnsweringSettings
from rag.types import Profile


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote as it is judged: its cosine with the question, its stems, and what it is read with.

    `passage`: all of the passage with its titles; `around`: the stems of the quote, of its titles and
    headings, and of the sentence in front of it.
    """

    sentence: Sentence
    passage: str
    similarity: float
    words: frozenset[str]
    around: frozenset[str]


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks for an answer and against it, each in [0, 1].

    Of the quotes shown the better one counts for `similar`, the cosine with the question, and `covered`, the
    part of the question's weight in a quote, rare words weighing most. The others are of the best quote.
    `named`: the part of the question's names in or before it. `negative`: the question denies something, and
    quotes seldom say what is not. `opposite`, `other_number`, `changed_places`: see conflicts.py. `near`,
    `within`: as `covered`, with titles and the sentence in front, and in the whole passage; by words only.
    """

    similar: float = 0.0
    covered: float = 0.0
    named: float = 0.0
    negative: float = 0.0
    opposite: float = 0.0
    other_number: float = 0.0
    changed_places: float = 0.0
    near: float = 0.0
    within: float = 0.0


# Fitted on squad2: its answerable questions against the adversarial ones and, at a weight of .3, against
# themselves with their article left out; the bias so that the mean is the share whose quotes hold the answer.
# Fitted on one half of the articles, the AUC on the other was .814 and .790. Matching token by token, cosines
# without one word of the question, the gap to the next quote and the kind of answer wanted added less than
# the noise. The figures belong to the bundled embedder, in int8.
WEIGHTS = Signs(
    similar=6.15,
    covered=1.0,
    named=1.62,
    negative=-3.57,
    opposite=-3.31,
    other_number=-1.28,
    changed_places=-1.34,
)
BIAS = -5.37
# For languages that the embedder was not trained for; a word counts as much as another there, small ones not
# at all. Fitted on xquad's German, Spanish, Arabic, Chinese and Hindi questions against themselves with their
# paragraph left out; the bias as above. Each language left out in turn the AUC is .93; with the weights above
# it was .71. Below .24 lie 4 % of those with an answer and 65 % of the others, in each language 0 to 8 and 52
# to 82.
BY_WORDS = Signs(
    covered=2.0,
    near=3.5,
    within=4.3,
    negative=WEIGHTS.negative,
    opposite=WEIGHTS.opposite,
    other_number=WEIGHTS.other_number,
    changed_places=WEIGHTS.changed_places,
)
BY_WORDS_BIAS = -3.9
LEAST_STEM, MOST_ENDING = 4, 2
# Of a question, so much is held against a quote: a pasted page has an opposite of everything.
MOST_CHARACTERS = 2000
# Below it an answer is declined. Of squad2's answerable questions 4 % lie below .24 and 10 % below .33, of
# the adversarial ones 40 and 51 %, of those whose article was left out 90 and 94 %.
DECLINED_BELOW = {
    Profile.EXPLORATORY: 0.24,
    Profile.STANDARD: 0.24,
    Profile.HIGH: 0.33,
    Profile.RESTRICTED: 0.33,
}


def declined_below(settings: AnsweringSettings) -> float:
    """The confidence below which an answer is declined: as set, else by the risk profile."""
    own = settings.decline_below
    return DECLINED_BELOW[settings.profile] if own is None else own


def signs(
    question: str, shown: Sequence[Evidence], weigh: Mapping[str, float], *, by_words: bool = False
) -> Signs:
    """The signs of a question and its quotes, best first. `weigh`: the weight of each word asked for.

    `by_words`: the cosines mean nothing, and another ending of a word counts as the word.
    """

    def held(words: Collection[str]) -> float:
        return share(weigh, kindred(weigh, words) if by_words else words)

    best = shown[0]
    text = best.sentence.text
    asked = question[:MOST_CHARACTERS]
    answered = conflicts.polar(asked) or conflicts.forbids(asked, text)
    numbers = without_bounds(asked)
    return Signs(
        similar=max(each.similarity for each in shown),
        covered=max(held(each.words) for each in shown),
        named=part(set(proper(asked)), best.around),
        negative=float(facts.negated(asked) and not answered),
        opposite=float(conflicts.opposite(asked, text) and not answered),
        other_number=float(agreement(asked, text) < 1 and conflicts.other_number(numbers, best.passage)),
        changed_places=float(conflicts.changed_places(asked, text)),
        near=max(held(each.around) for each in shown) if by_words else 0.0,
        within=max(held(set(content(each.passage))) for each in shown) if by_words else 0.0,
    )


def probability(found: Signs, *, by_words: bool = False) -> float:
    """The logistic function of the weighted sum. `by_words`: the cosines mean nothing, see BY_WORDS."""
    weights, bias = (BY_WORDS, BY_WORDS_BIAS) if by_words else (WEIGHTS, BIAS)
    total = bias + sum(getattr(found, each.name) * getattr(weights, each.name) for each in fields(Signs))
    return 1 / (1 + math.exp(-total))


def share(weigh: Mapping[str, float], words: Collection[str]) -> float:
    """The part of the question's weight that these words hold."""
    total = sum(weigh.values())
    return sum(weight for word, weight in weigh.items() if word in words) / total if total else 0.0


def kindred(asked: Collection[str], words: Collection[str]) -> set[str]:
    """Those asked for that stand there, if with another ending: Hund, Hunde. On xquad it changes nothing."""
    return {word for word in asked if word in words or any(is_ending(word, each) for each in words)}


def is_ending(one: str, other: str) -> bool:
    """Whether one of two words is the other with a letter or two more."""
    short, long = sorted((one, other), key=len)
    near = len(short) >= LEAST_STEM and len(long) - len(short) <= MOST_ENDING
    return near and long.isalpha() and long.startswith(short)


def part(asked: Collection[str], words: Collection[str]) -> float:
    return sum(name in words for name in asked) / len(asked) if asked else 1.0
