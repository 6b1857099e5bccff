"""Where the tokens of a text begin and end, as the embedder's tokenizer cuts it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from rag.errors import ModelError

SPECIAL_TOKENS = 2

Span = tuple[int, int]


class TokenMeasure:
    """The tokenizer of a sentence-transformers folder."""

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
            settings = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))
        except FileNotFoundError as error:
            raise ModelError(f"{folder} is no sentence-transformers model: no {error.filename}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.limit = int(settings["max_seq_length"]) - SPECIAL_TOKENS

    def spans(self, text: str) -> Sequence[Span]:
        """Start and end of every token, in characters."""
        offsets: Sequence[Span] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets
