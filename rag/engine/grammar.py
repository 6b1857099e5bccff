"""Answers that a grammar allows: llama.cpp's grammar sampler as a constraint."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from rag.engine.gbnf import check
from rag.errors import BadRequest

# llama.cpp tries a token character by character along every way to read it, and where a grammar is ambiguous
# each character doubles these. Whatever a long token spells, shorter ones spell too.
MAX_PIECE_BYTES = 16

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """A GBNF grammar over a vocabulary; `vocab` is llama.cpp's pointer, which must outlive this.

    `barred` are the tokens that no grammar may use; an engine computes them once with `barred_tokens`. Raises
    BadRequest with the reason for a grammar that cannot be used.
    """

    def __init__(
        self, vocab: Any, gbnf: str, vocabulary: int, *, barred: NDArray[np.bool_] | None = None
    ) -> None:
        check(gbnf)
        self._sampler: Any = None
        self._barred = barred_tokens(vocab, vocabulary) if barred is None else barred
        self._one = np.zeros(1, CANDIDATE)
        self._one_view = _view(self._one)
        self._sampler = llama.llama_sampler_init_grammar(vocab, gbnf.encode(), b"root")
        if not self._sampler:
            raise BadRequest("grammar: llama.cpp refuses it; make its repetitions smaller")

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits with every token that may not come next at -inf: a copy."""
        masked = np.where(self._barred, np.float32(-np.inf), logits)
        # What is out already need not be tried.
        tokens = np.flatnonzero(masked > -np.inf)
        candidates = np.zeros(len(tokens), CANDIDATE)
        candidates["id"], candidates["logit"] = tokens, masked[tokens]
        self._apply(_view(candidates))
        masked[tokens] = candidates["logit"]
        return masked

    def allows(self, token: int) -> bool:
        """Whether a token may come next."""
        if self._barred[token]:
            return False
        self._one[0] = (token, 0.0, 0.0)
        self._apply(self._one_view)
        return bool(self._one["logit"][0] == 0.0)

    def accept(self, token: int) -> None:
        """Note that an allowed token was taken."""
        # llama.cpp ends the process for any other.
        assert self.allows(token), f"token {token} was not allowed"
        llama.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Free llama.cpp's memory; a second time does nothing."""
        sampler, self._sampler = self._sampler, None
        if sampler:
            llama.llama_sampler_free(sampler)

    def _apply(self, view: Any) -> None:
        assert self._sampler, "the grammar is closed"
        llama.llama_sampler_apply(self._sampler, ctypes.byref(view))


def barred_tokens(vocab: Any, vocabulary: int) -> NDArray[np.bool_]:
    """Tokens that no grammar may use: control tokens, unless they end the answer, and very long ones.

    llama.cpp would read a control token as its name, which is text that a free string allows.
    """
    buffer = ctypes.create_string_buffer(MAX_PIECE_BYTES)
    barred = np.zeros(vocabulary, np.bool_)
    for token in range(vocabulary):
        if llama.llama_vocab_is_eog(vocab, token):
            continue
        # Negative: the piece is longer than the buffer.
        size = llama.llama_token_to_piece(vocab, token, buffer, MAX_PIECE_BYTES, 0, False)
        barred[token] = size <= 0 or llama.llama_vocab_is_control(vocab, token)
    return barred


def _view(candidates: NDArray[Any]) -> Any:
    data = candidates.ctypes.data_as(llama.llama_token_data_p)
    view = llama.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)
    view.owner = candidates  # alive as long as the view
    return view
