"""A quote as a span of a chunk: a sentence, or two that stand beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.answering.sentences import Sentence, in_one_paragraph
from rag.types import Passage

# Two sentences that stand beside each other are one quote of at most so many characters, if the weaker one's
# score is so near to the best. 230 of squad2's 250 questions then have their answer in two quotes (without it
# 227), 216 of xquad's 240 (207). Quotes grow from 370 to 410 characters; at any distance 232, and 540.
LONGEST, CLOSE = 600, 2.0


@dataclass(frozen=True, slots=True)
class Quote:
    """A chosen sentence: chunk.text[sentence.start:sentence.end], to the letter."""

    passage: Passage
    sentence: Sentence
    score: float
    similarity: float


def joined(ranked: Iterable[Quote], limit: int) -> tuple[Quote, ...]:
    """The best of some quotes, best first; the sentence in front of one or behind it becomes part of it.

    Once there are `limit` sentences, only one that is as near to the best becomes a quote of its own.
    """
    kept: list[Quote] = []
    whole: set[int] = set()  # places of those that are two sentences already
    for quote in ranked:
        near = not kept or kept[0].score - quote.score <= CLOSE
        beside = (n for n, each in enumerate(kept) if n not in whole and near and adjoin(each, quote))
        if (place := next(beside, None)) is not None:
            kept[place] = together(kept[place], quote)
            whole.add(place)
        elif len(kept) == limit or (len(kept) + len(whole) >= limit and not near):
            break
        else:
            kept.append(quote)
    return tuple(kept)


def adjoin(one: Quote, other: Quote) -> bool:
    """Whether two sentences follow each other in a paragraph and are short enough to be one quote."""
    first, second = sorted((one.sentence, other.sentence), key=lambda each: each.start)
    return (
        one.passage.chunk.id == other.passage.chunk.id
        and second.end - first.start <= LONGEST
        and in_one_paragraph(one.passage.chunk.text, first, second)
    )


def together(one: Quote, other: Quote) -> Quote:
    start = min(one.sentence.start, other.sentence.start)
    end = max(one.sentence.end, other.sentence.end)
    sentence = Sentence(start, end, one.passage.chunk.text[start:end])
    return Quote(one.passage, sentence, one.score, max(one.similarity, other.similarity))
