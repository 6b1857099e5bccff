"""The words that a model was trained with stand before its texts, whoever knows of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.embedding.prompts import Prompts, prompts_of
from rag.errors import ModelError

E5 = ("query: ", "passage: ")
NONE = ("", "")


def folder(at: Path, name: str = "model", **said: Any) -> Path:
    made = at / name
    made.mkdir(parents=True)
    (made / "config_sentence_transformers.json").write_text(json.dumps(said))
    return made


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"prompts": {"query": "search_query: ", "document": "search_document: "}}, None),
        ({"prompts": {"query": "search_query: ", "document": "", "passage": "search_document: "}}, None),
        ({"prompts": {"query": "ask: ", "document": ""}}, ("ask: ", "")),
        ({"prompts": {"all": "text: "}, "default_prompt_name": "all"}, ("text: ", "text: ")),
        ({"prompts": {"query": "", "document": ""}, "default_prompt_name": None}, NONE),
        ({"prompts": {"classification": "classify: "}}, NONE),
        ({"prompts": None}, NONE),
        ({}, NONE),
    ],
)
def test_the_files_of_a_model_say_it(
    tmp_path: Path, said: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    found = prompts_of(folder(tmp_path, **said))
    assert (found.query, found.document) == (expected or ("search_query: ", "search_document: "))
    assert bool(found.told) == bool(found.query or found.document)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("multilingual-e5-small", E5),
        ("models--intfloat--E5-base-v2/snapshots/0123abcd", E5),
        ("e5-large-v2", E5),
        ("multilingual-e5-large-instruct", NONE),
        ("e5-mistral-7b-instruct", NONE),
        ("bge-small-en-v1.5", ("Represent this sentence for searching relevant passages: ", "")),
        ("bge-m3", NONE),
        ("all-minilm-l6-v2", NONE),
        ("type5-base", NONE),
        ("e5-small/a/b/c", NONE),
    ],
)
def test_of_some_families_it_is_known(tmp_path: Path, name: str, expected: tuple[str, str]) -> None:
    found = prompts_of(folder(tmp_path, name))
    assert (found.query, found.document) == expected


def test_the_files_come_before_the_family_and_the_settings_before_both(tmp_path: Path) -> None:
    said = {"prompts": {"query": "ask: ", "document": "told: "}}
    model = folder(tmp_path, "e5-small", **said)
    assert prompts_of(model) == Prompts("ask: ", "told: ", "the model's files")
    assert prompts_of(model, query="q: ") == Prompts("q: ", "told: ", "set")
    assert prompts_of(model, query="", document="") == Prompts()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = folder(tmp_path) / "config_sentence_transformers.json"
    file.write_text("{")
    with pytest.raises(ModelError, match=f"{file} cannot be read"):
        prompts_of(file.parent)
