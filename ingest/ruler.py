"""How many tokens a text has for the embedder, by its words: each different word is tokenised once."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from math import ceil

Spans = Callable[[str], Sequence[tuple[int, int]]]

# Python calls more characters white space than Unicode's separators; a tokenizer may drop those instead.
BLANK = r" \t\n\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# ASCII punctuation, the usual marks of other scripts, and ideographs: BERT reads each as a word of its own.
MARKS = (
    r"!-/:-@\[-`{-~\xa1\xa7\xab\xb6\xb7\xbb\xbf\u2010-\u2017\u2018-\u2027\u2030-\u203b\u3001\u3002\u3008-\u3011"
    r"\uff01-\uff03\uff05-\uff0a\uff0c-\uff0f\uff1a\uff1b\uff1f\uff20"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
COARSE = re.compile(f"[^{BLANK}]+")
FINE = re.compile(f"[^{BLANK}{MARKS}]+|[{MARKS}]")
PROBE = (
    "The well-known “e-mail” costs €12.50 (naïve!),\n\n  don't  retry_now: Größe\t日本語のテキスト。続き、"
    "नमस्ते दुनिया، مرحبا\r\n[x_1] {key: 'value'} unbelievably/electroencephalographic … straße—Ende 1,000.00"
)
LONG_TOKENS = 16
BATCH_WORDS = 10_000
MAX_WORDS = 500_000
RECENT_TEXTS = 512


class Ruler:
    """Counts tokens by adding up words, if the tokenizer of `spans` reads words on their own.

    `exact`: it does, so `count` is right for every text, and counts of texts that white space separates add
    up. Otherwise `count` is an estimate and `measure` tells the truth, at the tokenizer's speed.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        # Whoever packs text asks for the same one several times in a row.
        self.count = lru_cache(RECENT_TEXTS)(self._count)
        self._known: dict[str, int] = {}
        patterns = [pattern for pattern in (FINE, COARSE) if self._adds_up(pattern)]
        self.exact = bool(patterns)
        self._word = patterns[0] if patterns else FINE

    def _count(self, text: str) -> int:
        """Tokens of the text; `exact` says whether that is certain."""
        words = self._word.findall(text)
        try:
            return sum(map(self._known.__getitem__, words))
        except KeyError:
            self._learn(words)
            return sum(map(self._known.__getitem__, words))

    def measure(self, text: str) -> int:
        """Tokens of the text, for certain."""
        return self.count(text) if self.exact else len(self._spans(text))

    def scale(self, text: str) -> tuple[list[int], list[int]]:
        """Where words begin, and how many tokens stand before each of these places and before the end.

        Long words are given token by token, since they may have to be cut inside.
        """
        self.count(text)
        matches = list(self._word.finditer(text))
        tokens = [self._known[match.group()] for match in matches]
        starts: list[int] = []
        counts: list[int] = []
        done = 0
        for index in [*(n for n, count in enumerate(tokens) if count >= LONG_TOKENS), len(tokens)]:
            starts += [match.start() for match in matches[done:index]]
            counts += tokens[done:index]
            for match in matches[index : index + 1]:
                places = {start for start, _ in self._spans(match.group())} | {0}
                inner = [match.start() + place for place in sorted(places)]
                starts += inner
                counts += [ceil(tokens[index] / len(inner))] * len(inner)
            done = index + 1
        return starts, list(accumulate(counts, initial=0))

    def _adds_up(self, pattern: re.Pattern[str]) -> bool:
        words = pattern.findall(PROBE)
        return sum(len(self._spans(word)) for word in words) == len(self._spans(PROBE))

    def _learn(self, words: Sequence[str]) -> None:
        if len(self._known) > MAX_WORDS:
            self._known.clear()
            self.count.cache_clear()  # `scale` relies on the words of a counted text being known
        missing = iter(set(words).difference(self._known))
        while batch := list(islice(missing, BATCH_WORDS)):
            starts = [start for start, _ in self._spans("\n".join(batch))]
            place = first = 0
            for word in batch:
                end = place + len(word)
                last = bisect_left(starts, end, first)
                self._known[word] = last - first
                # A tokenizer that is not exact may give the line feed a token, which is not the word's.
                first = last if self.exact else bisect_left(starts, end + 1, last)
                place = end + 1
