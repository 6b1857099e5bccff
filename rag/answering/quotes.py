"""The sentences of the documents that best answer a question, and how likely they answer it at all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from rag.answering.bridges import Step, bridges, is_described
from rag.answering.comparing import Comparison, is_about
from rag.answering.confidence import Evidence, probability, share, signs
from rag.answering.editions import outdated
from rag.answering.questions import Sought
from rag.answering.sentences import Sentence, sentences
from rag.answering.spans import Quote, joined
from rag.answering.validity import agreement
from rag.answering.words import content, stems_of
from rag.language import language, small_words
from rag.store.vectors import Vectors
from rag.types import Passage

BEST = 3  # passages that may be read to tell the language
# Sentences whose embedding is compared with the question: on squad2 16 choose as well as all, 12 nearly so.
CANDIDATES = 16


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each sign counts: logistic regression on one half of squad2, checked on the other."""

    passage: float = 9.7
    similarity: float = 6.1
    coverage: float = 2.55
    neighbourhood: float = 1.9
    kind: float = 1.8
    length: float = 0.78
    # Not fitted, as squad2 has no rules of other years: enough to change the order of two such rules.
    validity: float = 2.5


FITTED = Weights()
# Where the cosines mean little. Of 200 questions of xquad in five languages unknown to the bundled embedder,
# 170 have the answer in two quotes, 162 with the weights above; flat around these.
BY_WORDS = replace(FITTED, similarity=2.0, coverage=6.0)


def weights_for(strange: str) -> Weights:
    """How much each sign counts. `strange`: a language that the embedder was not trained for, or empty."""
    return BY_WORDS if strange else FITTED


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a passage with the stems of its words.

    `around`: these, and those of titles, headings and the sentence in front.
    """

    passage: Passage
    sentence: Sentence
    words: frozenset[str]
    around: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """The best quotes first, and the probability that they answer (rag/answering/confidence.py).

    Quotes of an older edition of the same document come last.
    """

    quotes: tuple[Quote, ...]
    confidence: float = 0.0

    def answers(self, at_least: float) -> bool:
        """Whether that is enough."""
        return bool(self.quotes) and self.confidence >= at_least


async def choose(
    question: str,
    passages: Sequence[Passage],
    vectors: Vectors,
    *,
    limit: int = 2,
    languages: Collection[str] = (),
    reader: str = "",
    epoch: str = "",
) -> Selection:
    """The best quotes for a question among the passages, best first, by their scores, meaning and words.

    `languages`: those the embedder was trained for (ISO 639-1), empty: not stated. In others words decide.
    `reader` and `epoch`: for whom, and until when, vectors of sentences may be kept (Vectors.similarity).
    """
    found = [each for each in candidates(passages) if not echoes(question, each)]
    if not found:
        return Selection(())

    async def near(sentences: Sequence[Sentence]) -> list[float]:
        readings = [each.reading for each in sentences]
        (cosines,) = await vectors.similarity([question], readings, side="query", reader=reader, epoch=epoch)
        return cosines

    if is_described(question):
        spans = bridges(question, [Step.of(each.passage, each.sentence) for each in found])
        if spans.broken:
            return Selection(())
        if len(spans.pairs) == 1:
            (pair,) = spans.pairs
            cosines = await near([each.sentence for each in pair])
            return in_two_steps(question, pair, cosines, rarity(question, found))
    strange = strange_to(languages, question, passages)
    if (beside := Comparison.of(question)) and limit > 1:
        if beside.needs_both and not told_of_both(beside, passages):
            return Selection(())
        if each_of_both := await of_each(question, beside, found, near, strange):
            return each_of_both
    found = shortlist(question, found, weights=weights_for(strange))
    cosines = await near([each.sentence for each in found])
    return select(question, found, cosines, limit=limit, strange=strange)


def told_of_both(pair: Comparison, passages: Sequence[Passage]) -> bool:
    """Whether there is a passage on each of two things."""
    texts = [set(content(whole(each))) for each in passages]
    return all(any(is_about(name, words) for words in texts) for name in (pair.one, pair.other))


async def of_each(
    question: str,
    pair: Comparison,
    found: Sequence[Candidate],
    near: Callable[[Sequence[Sentence]], Awaitable[list[float]]],
    strange: str,
) -> Selection | None:
    """The best sentence on each of two things; None where one of them has none, or one sentence has both."""
    weights = weights_for(strange)
    old = outdated([each.passage for each in found], question)
    found = [each for each in found if each.passage.document_id not in old]
    best: list[tuple[Candidate, float]] = []
    for name in (pair.one, pair.other):
        side = shortlist(question, [each for each in found if is_about(name, each.around)], weights=weights)
        if not side:
            return None
        cosines = await near([each.sentence for each in side])
        scores = score(question, side, cosines, weights)
        at = scores.index(max(scores))
        best.append((side[at], cosines[at]))
    steps, similarities = zip(*best, strict=True)
    if steps[0] is steps[1]:
        return None
    return in_two_steps(question, steps, similarities, rarity(question, found), strange)


def strange_to(languages: Collection[str], question: str, passages: Sequence[Passage]) -> str:
    """The language of the best passage if it is none of these; empty if it is, or it or they are not known.

    Of one too short to tell the question and the next ones do.
    """
    if not languages:
        return ""
    best, *others = (each.chunk.text for each in passages[:BEST])
    found = language([best]) or language([question, best, *others])
    return "" if found in languages else found


def in_two_steps(
    question: str,
    steps: Sequence[Step | Candidate],
    similarities: Sequence[float],
    weigh: dict[str, float],
    strange: str = "",
) -> Selection:
    """Both sentences, judged as one: what is asked is in the one, of what in the other."""
    quotes = [
        Quote(step.passage, step.sentence, near, near) for step, near in zip(steps, similarities, strict=True)
    ]
    words = frozenset(word for step in steps for word in content(step.sentence.reading))
    around = words | {word for step in steps for word in content(titles(step.passage))}
    judged = Evidence(steps[0].sentence, whole(steps[0].passage), max(similarities), words, around)
    return Selection(tuple(quotes), sureness(question, [judged], weigh, strange))


def sureness(question: str, judged: Sequence[Evidence], weigh: dict[str, float], strange: str) -> float:
    """How likely quotes answer, best first. `strange`: as in select."""
    if strange:
        weigh = dict.fromkeys(weigh.keys() - stems_of(small_words(strange)), 1.0)
    by_words = bool(strange)
    return probability(signs(question, judged, weigh, by_words=by_words), by_words=by_words)


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Every sentence of the passages once, best passage first."""
    found: list[Candidate] = []
    seen: set[str] = set()
    for passage in passages:
        heading = frozenset(content(titles(passage)))
        before: frozenset[str] = heading
        for sentence in sentences(passage.chunk.text):
            words = frozenset(content(sentence.reading))
            # A heading inside the text repeats what is asked and answers nothing.
            if sentence.text not in seen and not (words and words <= heading):
                found.append(Candidate(passage, sentence, words, words | before))
            seen.add(sentence.text)
            before = words | heading
    return found


def shortlist(
    question: str, found: Sequence[Candidate], *, limit: int = CANDIDATES, weights: Weights = FITTED
) -> list[Candidate]:
    """The candidates worth embedding, by everything but their meaning."""
    if len(found) <= limit:
        return list(found)
    scores = score(question, found, [0.0] * len(found), weights)
    best = sorted(range(len(found)), key=lambda n: -scores[n])[:limit]
    return [found[n] for n in sorted(best)]


def select(
    question: str,
    found: Sequence[Candidate],
    similarities: Sequence[float],
    *,
    limit: int = 2,
    strange: str = "",
) -> Selection:
    """The pure part: rank the candidates with their cosines known.

    `strange`: the language of the passages, if the embedder was not trained for it: then words decide.
    """
    scores = score(question, found, similarities, weights_for(strange))
    order = sorted(range(len(found)), key=lambda n: -scores[n])
    weigh = rarity(question, found)
    best = found[order[0]]
    shown = order[: min(2, limit)]
    # Such a row is not shown, and nothing else in its place.
    beside = {n for n in order if overshadowed(found[n], best, weigh)}
    quotes = joined(
        (
            Quote(found[n].passage, found[n].sentence, scores[n], similarities[n])
            for n in order
            if n not in beside
        ),
        limit - len(beside.intersection(order[:limit])),
    )
    old = outdated([quote.passage for quote in quotes], question)
    quotes = tuple(sorted(quotes, key=lambda quote: quote.passage.document_id in old))
    judged = [
        Evidence(each.sentence, whole(each.passage), similarities[n], each.words, each.around)
        for n, each in ((n, found[n]) for n in shown)
    ]
    return Selection(quotes, sureness(question, judged, weigh, strange))


def titles(passage: Passage) -> str:
    return " ".join((passage.title, *passage.chunk.heading_path))


def whole(passage: Passage) -> str:
    return f"{titles(passage)}\n{passage.chunk.text}"


def echoes(question: str, candidate: Candidate) -> bool:
    """Whether it is a word or two of the question and nothing else, as a heading inside the text is."""
    return len(candidate.words) <= 2 and candidate.words <= set(content(question))


def overshadowed(row: Candidate, best: Candidate, weigh: dict[str, float]) -> bool:
    """Whether a row only stands beside the one asked for: same table, less of the question."""
    same_table = bool(row.sentence.context) and row.sentence.context == best.sentence.context
    return same_table and share(weigh, row.words) < share(weigh, best.words)


def holding(question: str, candidate: Candidate, weigh: dict[str, float]) -> float:
    """How far a sentence holds when the question asks, in [-1, 1]; "Valid from 2024" alone says no rule."""
    agreed = agreement(question, candidate.sentence.text)
    words = [word for word in candidate.words if not word[-1].isdigit()]
    return agreed * share(weigh, words) if agreed > 0 else agreed


def score(
    question: str, found: Sequence[Candidate], similarities: Sequence[float], weights: Weights = FITTED
) -> list[float]:
    """How well each candidate answers; comparable within one question only."""
    weigh, sought = rarity(question, found), Sought.of(question)
    best = max(each.passage.score for each in found) or 1.0
    return [
        weights.passage * each.passage.score / best
        + weights.similarity * similarity
        + weights.coverage * share(weigh, each.words)
        + weights.neighbourhood * share(weigh, each.around)
        + weights.kind * sought.is_in(each.sentence.text)
        + weights.validity * holding(question, each, weigh)
        + weights.length * math.log1p(len(each.words))
        for each, similarity in zip(found, similarities, strict=True)
    ]


def rarity(question: str, found: Sequence[Candidate]) -> dict[str, float]:
    """BM25's inverse frequency of each word of the question, counted over the candidates."""
    frequency = Counter(word for each in found for word in each.words)
    count = len(found)
    return {
        word: math.log(1 + (count - frequency[word] + 0.5) / (frequency[word] + 0.5))
        for word in content(question)
    }
