"""The words that carry a text's meaning, folded so that inflected forms meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from rag.answering.vocabulary import FUNCTION_WORDS
from rag.language import UNSPACED

# What stands over, under or behind a letter and is none: accents, points, vowel signs of India and Thailand.
MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f"
    "\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09d7\u0a01-\u0a03\u0a3c-\u0a51\u0a81-\u0a83\u0abc-\u0acd"
    "\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6"
    "\u0d00-\u0d03\u0d3b-\u0d57\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200c\u200d"
)
LETTERS = rf"[^\W_](?:[^\W_]|[{MARKS}])*"
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
    if ARABIC.match(word):
        return ARTICLE.sub("", VOWELS.sub("", word).translate(ONE_LETTER))[:STEM_LETTERS] or word
    return word.lower().replace("−", "-").replace("–", "-")[:STEM_LETTERS]


def content(text: str) -> list[str]:
    """The stems of a text's content words, in order; where words have no spaces, each two characters."""
    words = (word for word in SIGNED.findall(text) if word.lower() not in FUNCTION_WORDS)
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
            found.append(stem(word))
    return found
