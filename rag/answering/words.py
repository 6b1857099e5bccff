"""The words that carry a text's meaning, folded so that inflected forms meet."""

from __future__ import annotations

import re

from rag.answering.vocabulary import FUNCTION_WORDS

WORD = re.compile(r"[^\W_]+")
# -20 is another number than 20; in "10-20" and "KT-40" the stroke joins.
SIGNED = re.compile(r"(?:(?<![^\s(|:])[-−–](?=\d))?[^\W_]+")
# Measured on squad2: a cut at six letters chooses sentences as well as an English stemmer, in any language.
STEM_LETTERS = 6


def stem(word: str) -> str:
    """The part of a word that its forms share, near enough for overlap."""
    return word.lower().replace("−", "-").replace("–", "-")[:STEM_LETTERS]


def content(text: str) -> list[str]:
    """The stems of a text's content words, in order."""
    return [stem(word) for word in SIGNED.findall(text) if word.lower() not in FUNCTION_WORDS]


def proper(text: str) -> list[str]:
    """The stems of capitalised words after the first, and of words with a digit: names and numbers."""
    found = []
    for position, word in enumerate(SIGNED.findall(text)):
        named = position > 0 and word[0].isupper() and word.lower() not in FUNCTION_WORDS
        if named or any(letter.isdigit() for letter in word):
            found.append(stem(word))
    return found
