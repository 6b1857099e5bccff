"""How much of a text a model reads is in one of several files; nothing of a chunk may be cut off unseen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rag.embedding.tokens import TokenCounter, reading_tokenizer
from rag.errors import ModelError
from rag.models.lockfile import entry, locate

BUNDLED = locate(entry("all-minilm-l6-v2"))
NEWLY_SAVED = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}


def folder(at: Path, **files: Any) -> Path:
    """A tokenizer and the small files given, with _ for what a name may not have here."""
    shutil.copy(BUNDLED / "tokenizer.json", at)
    for name, said in files.items():
        (at / f"{name.replace('__', '-')}.json").write_text(json.dumps(said))
    return at


@pytest.mark.parametrize(
    ("files", "tokens"),
    [
        ({"sentence_bert_config": {"max_seq_length": 128}, "config": {"max_position_embeddings": 512}}, 128),
        ({"sentence_bert_config": NEWLY_SAVED, "tokenizer_config": {"model_max_length": 256}}, 256),
        (
            {"sentence_bert_config": {"max_seq_length": None}, "tokenizer_config": {"model_max_length": 64}},
            64,
        ),
        ({"sentence_xlm__roberta_config": {"max_seq_length": 96}}, 96),
        (
            {"tokenizer_config": {"model_max_length": int(1e30)}, "config": {"max_position_embeddings": 512}},
            512,
        ),
        (
            {
                "sentence_bert_config": {"max_seq_length": 514},
                "config": {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1},
            },
            512,
        ),
        ({"tokenizer_config": {"model_max_length": 512}, "config": {"model_type": "t5"}}, 512),
    ],
    ids=["own", "saved by version 6", "null", "by architecture", "no end", "behind the padding", "relative"],
)
def test_the_length_is_found_where_it_is(tmp_path: Path, files: dict[str, Any], tokens: int) -> None:
    made = folder(tmp_path, **files)
    assert TokenCounter(made).max_tokens == tokens
    assert len(reading_tokenizer(made).encode("leave " * 1000).ids) == tokens


def test_the_files_may_lie_in_the_folder_of_the_first_module(tmp_path: Path) -> None:
    (tmp_path / "0_Transformer").mkdir()
    folder(tmp_path / "0_Transformer", sentence_bert_config={"max_seq_length": 200})
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "path": "0_Transformer"}]))
    assert TokenCounter(tmp_path).max_tokens == 200


def test_a_model_that_does_not_say_it_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'write \{"max_seq_length": 512\}'):
        TokenCounter(folder(tmp_path))


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    made = folder(tmp_path, sentence_bert_config={"max_seq_length": 128})
    (made / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        TokenCounter(made)


def test_a_prompt_takes_its_tokens_from_the_budget() -> None:
    bare, prompted = TokenCounter(BUNDLED), TokenCounter(BUNDLED, "passage: ")
    assert bare.budget == bare.max_tokens - 2
    assert prompted.budget == bare.budget - len(["passage", ":"])


def test_lower_case_is_kept_to_where_a_model_was_trained_on_it(tmp_path: Path) -> None:
    cased = json.loads((BUNDLED / "tokenizer.json").read_text("utf-8"))
    cased["normalizer"]["lowercase"] = False
    made = folder(tmp_path, sentence_bert_config={"max_seq_length": 128, "do_lower_case": True})
    (made / "tokenizer.json").write_text(json.dumps(cased))
    reader = reading_tokenizer(made)
    assert reader.encode("Annual LEAVE").ids == reader.encode("annual leave").ids
