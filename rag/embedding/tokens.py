"""A text's tokens as the embedder will cut them, without loading the embedder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from rag.errors import ModelError

SPECIAL_TOKENS = 2

Span = tuple[int, int]


class TokenCounter:
    """The tokenizer of a sentence-transformers folder; cheap enough for a parse child."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer, self.max_tokens = load(folder)
        # The file of all-MiniLM-L6-v2 pads and truncates to 128 tokens by itself; a count must not.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @property
    def budget(self) -> int:
        """Tokens of text that fit beside the special tokens."""
        return self.max_tokens - SPECIAL_TOKENS

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text, special tokens left out."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    def spans(self, text: str) -> Sequence[Span]:
        """Start and end of every token, in characters."""
        offsets: Sequence[Span] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets


def reading_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that gives the ids a model reads: special tokens added, longer texts cut, no padding."""
    tokenizer, max_tokens = load(folder)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def load(folder: Path) -> tuple[Tokenizer, int]:
    """The tokenizer of a folder and the tokens its model reads. Raises ModelError when a file is missing."""
    try:
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
        settings = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} is not a sentence-transformers model: {error.filename} is missing"
        ) from None
    return tokenizer, int(settings["max_seq_length"])
