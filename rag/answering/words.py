"""The words that carry a text's meaning, folded so that inflected forms meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from rag.answering.vocabulary import FUNCTION_WORDS
from rag.language import LETTERS, UNSPACED

WORD = re.compile(LETTERS)
# -20 is another number than 20; in "10-20" and "KT-40" the stroke joins.
SIGNED = re.compile(rf"(?:(?<![^\s(|:])[-−–](?=\d))?{LETTERS}")
# Measured on squad2: a cut at six letters chooses sentences as well as an English stemmer, in any language.
STEM_LETTERS = 6


ARABIC = re.compile("[\u0600-\u06ff]")
# The article, alone or grown together with a conjunction or preposition, if a word is left behind it.
ARTICLE = re.compile("^(?:[وفبك]?ال|لل)(?=...)")
VOWELS = re.compile("[\u064b-\u0652\u0640]")
ONE_LETTER = str.maketrans("أإآىة", "ااايه")


def stem(word: str) -> str:
    """The part of a word that its forms share, near enough for overlap."""
    if word.isascii():
        return word.lower()[:STEM_LETTERS]
    if ARABIC.match(word):
        return ARTICLE.sub("", VOWELS.sub("", word).translate(ONE_LETTER))[:STEM_LETTERS] or word
    return word.lower().replace("−", "-").replace("–", "-")[:STEM_LETTERS]


def content(text: str) -> list[str]:
    """The stems of a text's content words, in order; where words have no spaces, each two characters."""
    words = [word for word in SIGNED.findall(text) if word.lower() not in FUNCTION_WORDS]
    if not UNSPACED.search(text):
        return [stem(word) for word in words]
    return [part for word in words for part in pieces(word)]


def pieces(word: str) -> Iterator[str]:
    """The stem of a word; of a run of words without spaces the pairs of its characters."""
    rest = 0
    for run in UNSPACED.finditer(word):
        if word[rest : run.start()]:
            yield stem(word[rest : run.start()])
        rest = run.end()
        yield from (run[0][n : n + 2] for n in range(max(1, len(run[0]) - 1)))
    if word[rest:]:
        yield stem(word[rest:])


@cache
def stems_of(words: frozenset[str]) -> frozenset[str]:
    """The stems of some words."""
    return frozenset(part for word in words for part in pieces(word))


def proper(text: str) -> list[str]:
    """The stems of capitalised words after the first, and of words with a digit: names and numbers."""
    found = []
    for position, word in enumerate(SIGNED.findall(text)):
        named = position > 0 and word[0].isupper() and word.lower() not in FUNCTION_WORDS
        if named or any(letter.isdigit() for letter in word):
            found += [each for each in pieces(word) if named or any(letter.isdigit() for letter in each)]
    return found
