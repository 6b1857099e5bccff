"""A text's tokens as the embedder will cut them, without loading the embedder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers import normalizers as normal

from rag.embedding.files import modules_of, said
from rag.errors import ModelError

SPECIAL_TOKENS = 2
# Where sentence-transformers kept a model's length, by the architecture, before it left it to the tokenizer.
LENGTH_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# They number positions from behind the padding's, so that as many are never used.
BEHIND_PADDING = ("roberta", "camembert", "mpnet", "longformer")

Span = tuple[int, int]


class TokenCounter:
    """The tokenizer of a sentence-transformers folder; cheap enough for a parse child.

    `prompt`: what will stand before every text.
    """

    def __init__(self, folder: Path, prompt: str = "") -> None:
        self._tokenizer, self.max_tokens = load(folder)
        # The file of all-MiniLM-L6-v2 pads and truncates to 128 tokens by itself; a count must not.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._prompt_tokens = sum(self.count([prompt])) if prompt else 0

    @property
    def budget(self) -> int:
        """Tokens of text that fit beside the prompt and the special tokens."""
        return self.max_tokens - SPECIAL_TOKENS - self._prompt_tokens

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
    """The tokenizer of a folder and the tokens its model reads. Raises ModelError when they are not there."""
    modules = modules_of(folder)
    folder = folder / modules[0].get("path", "") if modules else folder
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing more exact
        missing = not (folder / "tokenizer.json").exists()
        told = "tokenizer.json is missing" if missing else f"tokenizer.json cannot be read: {error}"
        raise ModelError(f"{folder} is not a sentence-transformers model: {told}") from None
    reader = next((found for name in LENGTH_FILES if (found := said(folder / name))), {})
    if reader.get("do_lower_case"):
        also = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = normal.Sequence([normal.Lowercase(), *also])
    return tokenizer, max_tokens_of(folder, reader)


def max_tokens_of(folder: Path, reader: dict[str, Any]) -> int:
    """Tokens that the model reads of a text: as its files say, and no more than it has positions for."""
    config = said(folder / "config.json")
    own = reader.get("max_seq_length")
    lengths = [own or said(folder / "tokenizer_config.json").get("model_max_length")]
    if positions := config.get("max_position_embeddings"):
        behind = str(config.get("model_type", "")).endswith(BEHIND_PADDING)
        lengths.append(positions - (int(config.get("pad_token_id") or 0) + 1 if behind else 0))
    named = [int(length) for length in lengths if length and length > 0]
    if not named:
        raise ModelError(
            f"no file in {folder} says how many tokens the model reads: "
            'write {"max_seq_length": 512}, or what its model card says, into sentence_bert_config.json'
        )
    return min(named)
