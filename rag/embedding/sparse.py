"""The sparse encoder: BM25 term weights, from the encoder that comes with Qdrant Edge."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qdrant_edge import Bm25, Bm25Config, TokenizerType

# Scripts that put no spaces between words: Thai to Khmer, kana, Han. The word tokenizer takes a sentence
# for one term; the multilingual one segments (nDCG@10 on xquad_multilingual .783 -> .944), but is a little
# worse for English (tatqa .716 -> .706), so each text gets the one that suits it.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Hashed terms and their weights. The index multiplies by IDF when it searches."""

    indices: list[int]
    values: list[float]


class SparseEncoder:
    """BM25's document side (saturated term frequency) and query side (each term once)."""

    def __init__(self) -> None:
        self._spaced = Bm25(Bm25Config())
        self._unspaced = Bm25(Bm25Config(tokenizer=TokenizerType.Multilingual))

    def encode_query(self, text: str) -> SparseVector:
        """The terms of a question, weight 1 each."""
        vector = self._encoder_for(text).embed_query(text)
        return SparseVector(vector.indices, vector.values)

    def encode_document(self, text: str) -> SparseVector:
        """The terms of a passage, weighted by frequency and length."""
        vector = self._encoder_for(text).embed_document(text)
        return SparseVector(vector.indices, vector.values)

    def _encoder_for(self, text: str) -> Bm25:
        return self._unspaced if UNSPACED.search(text) else self._spaced
