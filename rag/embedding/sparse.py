"""The sparse encoder: BM25 weights of words, from the encoder of Qdrant Edge, and of pairs of neighbours.

The role behind it, which a learned model may take: learned.py.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from qdrant_edge import Bm25, Bm25Config, TokenizerType
from qdrant_edge import SparseVector as Terms

from rag.language import UNSPACED
from rag.types import BM25

# Arabic words take their own stemmer and stop words: on the Arabic part of xquad_multilingual nDCG@10 of BM25
# .861 -> .928, fused .860 -> .941. For German and Spanish theirs changed nothing beyond noise.
ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f]+")
WORDS = re.compile(r"\w+")
# The encoder's own constants: pairs saturate as its words do.
K, B, AVERAGE_LENGTH = 1.2, 0.75, 256.0
# In a question. Measured from 0.2 to 0.8: flat between 0.4 and 0.7.
PAIR_WEIGHT = 0.5
KNOWN_WORDS = 50_000


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Terms by number and their weights. Of BM25 the index multiplies them by IDF when it searches."""

    indices: list[int]
    values: list[float]


class TermEncoder(Protocol):
    """Text to weighted terms, with a side for questions and one for passages."""

    @property
    def name(self) -> str:
        """Who weighs: "bm25", or a model."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; 0: all, or the model does not say."""
        ...

    def encode_query(self, text: str) -> SparseVector:
        """The terms of a question."""
        ...

    def encode_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None
    ) -> list[SparseVector]:
        """The terms of passages in their order; `pause` is called between forward passes."""
        ...


class SparseEncoder:
    """BM25's document side (saturated term frequency) and query side (each term once).

    Two words that stand beside each other, stop words left out, are a term of their own: "operating expenses"
    says more than both words apart. An index made without pairs answers as before: no pair is found in it.
    """

    name = BM25
    max_tokens = 0

    def __init__(self) -> None:
        self._spaced = Bm25(Bm25Config())
        # The word tokenizer takes a sentence without spaces for one term. The multilingual one segments
        # (nDCG@10 of xquad_multilingual .783 -> .944), but is worse for English (tatqa .716 -> .706).
        self._unspaced = Bm25(Bm25Config(tokenizer=TokenizerType.Multilingual))
        self._arabic = Bm25(Bm25Config(language="arabic"))
        self._term = lru_cache(KNOWN_WORDS)(self._look_up)

    def encode_query(self, text: str) -> SparseVector:
        """The terms of a question: words weigh 1, pairs PAIR_WEIGHT.

        Arabic words are asked for as they stand too: an index made before they were stemmed holds them so.
        """
        vectors = [self._encoder_for(text).embed_query(text)]
        if arabic := " ".join(ARABIC.findall(text)):
            vectors.append(self._arabic.embed_query(arabic))
        return joined(vectors, dict.fromkeys(self._pairs(text), PAIR_WEIGHT))

    def encode_documents(
        self, texts: Sequence[str], *, pause: Callable[[], None] | None = None
    ) -> list[SparseVector]:
        """The terms of passages, which takes no forward pass."""
        return [self.encode_document(text) for text in texts]

    def encode_document(self, text: str) -> SparseVector:
        """The terms of a passage, weighted by frequency and length."""
        vectors = [self._encoder_for(text).embed_document(ARABIC.sub(" ", text))]
        if arabic := " ".join(ARABIC.findall(text)):
            vectors.append(self._arabic.embed_document(arabic))
        counts = Counter(self._pairs(text))
        dampening = K * (1 - B + B * sum(counts.values()) / AVERAGE_LENGTH)
        pairs = {pair: count * (K + 1) / (count + dampening) for pair, count in counts.items()}
        return joined(vectors, pairs)

    def _encoder_for(self, text: str) -> Bm25:
        return self._unspaced if UNSPACED.search(text) else self._spaced

    def _pairs(self, text: str) -> Iterator[int]:
        """Ids of neighbours; none for scripts without spaces, where only the encoder knows the words."""
        if UNSPACED.search(text):
            return
        terms = [term for term in map(self._term, WORDS.findall(text)) if term]
        for left, right in pairwise(terms):
            if left != right:
                yield zlib.crc32(struct.pack("<II", left, right))

    def _look_up(self, word: str) -> int:
        """The encoder's id of one word; 0 for a stop word."""
        found: list[int] = self._spaced.embed_query(word).indices
        return found[0] if found else 0


def joined(vectors: Iterable[Terms], pairs: dict[int, float]) -> SparseVector:
    """Words and pairs as one vector; an id counts once, so a pair that collides with a word gives way."""
    terms = dict(pairs)
    for vector in vectors:
        terms |= zip(vector.indices, vector.values, strict=True)
    return SparseVector(list(terms), list(terms.values()))
