"""Grammars over a real vocabulary, driven by logits that know nothing."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import llama_cpp as llama
import numpy as np
import pytest
from numpy.typing import NDArray

from rag.engine.generator import Sampling
from rag.engine.grammar import MAX_PIECE_BYTES, Grammar, barred_tokens
from rag.engine.sampling import Sampler
from rag.engine.schema import gbnf_of
from rag.errors import BadRequest
from rag.models.lockfile import entry, locate

pytestmark = pytest.mark.model

QUIET = llama.llama_log_callback(lambda *_: None)  # llama.cpp keeps it for as long as the process lives


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of the bundled model, without its weights."""

    pointer: Any
    size: int
    barred: NDArray[np.bool_]
    pieces: list[bytes]
    end: int

    def grammar(self, gbnf: str) -> Grammar:
        return Grammar(self.pointer, gbnf, self.size, barred=self.barred)

    def token(self, text: bytes) -> int:
        return self.pieces.index(text)


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[Vocabulary]:
    llama.llama_log_set(QUIET, ctypes.c_void_p(0))
    params = llama.llama_model_default_params()
    params.vocab_only = True
    path = locate(entry("smollm2-135m-instruct"))
    model = llama.llama_model_load_from_file(str(path).encode(), params)
    pointer = llama.llama_model_get_vocab(model)
    size = llama.llama_vocab_n_tokens(pointer)
    pieces = [_piece(pointer, token) for token in range(size)]
    yield Vocabulary(pointer, size, barred_tokens(pointer, size), pieces, llama.llama_vocab_eos(pointer))
    llama.llama_model_free(model)


def _piece(vocab: Any, token: int) -> bytes:
    buffer = ctypes.create_string_buffer(256)
    size = llama.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
    return buffer.raw[:size]


@pytest.fixture(scope="module")
def answer(vocabulary: Vocabulary) -> Callable[[str, int], str]:
    """A text of a grammar, by a model that draws at random, likes to close and stops as soon as it may."""
    closing = np.array([6.0 * any(c in piece for c in b'"}]') for piece in vocabulary.pieces])
    closing[vocabulary.end] = 60.0

    def answer(gbnf: str, seed: int) -> str:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), vocabulary.grammar(gbnf))
        random, said = np.random.default_rng(seed), b""
        for _ in range(600):
            token = sampler.draw(random.normal(closing, 2.0).astype(np.float32), [])
            if token == vocabulary.end:
                sampler.close()
                return said.decode()
            said += vocabulary.pieces[token]
        raise AssertionError(f"no end after 600 tokens: {said!r}")

    return answer


def test_a_choice_is_all_that_comes_out(answer: Callable[[str, int], str]) -> None:
    assert {answer('root ::= "yes" | "no"', seed) for seed in range(12)} == {"yes", "no"}


def test_characters_cut_across_tokens_come_out_whole(answer: Callable[[str, int], str]) -> None:
    assert answer('root ::= "Öl 漢字 🙂"', 0) == "Öl 漢字 🙂"


def test_an_empty_schema_yields_any_object(answer: Callable[[str, int], str]) -> None:
    assert all(isinstance(json.loads(answer(gbnf_of("{}"), seed)), dict) for seed in range(6))


def test_a_schema_yields_what_it_describes(answer: Callable[[str, int], str]) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 5},
            "size": {"type": ["integer", "null"]},
            "tags": {"type": "array", "items": {"enum": ["a\\b", 'q"x', "é\n", 3, True]}, "maxItems": 3},
            "when": {"type": "string", "format": "date-time"},
            "more": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/pair"}]},
        },
        "required": ["name", "when"],
        "additionalProperties": False,
        "$defs": {"pair": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}},
    }
    gbnf = gbnf_of(json.dumps(schema))
    for seed in range(10):
        found = json.loads(answer(gbnf, seed))
        assert list(found) == [name for name in schema["properties"] if name in found]  # type: ignore[attr-defined]
        assert 2 <= len(found["name"]) <= 5
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["when"])
        assert isinstance(found.get("size"), int | None)
        assert all(tag in ["a\\b", 'q"x', "é\n", 3, True] for tag in found.get("tags", []))
        assert len(found.get("tags", [])) <= 3
        if (more := found.get("more")) is not None:
            assert isinstance(more, bool) or (
                len(more) == 2 and all(isinstance(n, int | float) for n in more)
            )


def test_a_schema_may_contain_itself(answer: Callable[[str, int], str]) -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}, "leaf": {"const": 'say "x"'}}}
    for seed in range(6):
        node = json.loads(answer(gbnf_of(json.dumps(tree)), seed))
        while node:
            assert node.keys() <= {"child", "leaf"} and node.get("leaf", 'say "x"') == 'say "x"'
            node = node.get("child")


def test_a_map_and_required_names_without_a_schema(answer: Callable[[str, int], str]) -> None:
    counts = json.dumps({"type": "object", "additionalProperties": {"type": "integer"}})
    assert all(isinstance(count, int) for count in json.loads(answer(gbnf_of(counts), 1)).values())
    assert json.loads(answer(gbnf_of('{"required": ["x"]}'), 1)).keys() == {"x"}
    assert json.loads(answer(gbnf_of('{"type": "object", "additionalProperties": false}'), 1)) == {}


def test_a_mask_and_a_single_check_agree(vocabulary: Vocabulary) -> None:
    grammar = vocabulary.grammar('root ::= "y" [a-m]* "!"?')
    logits = np.zeros(vocabulary.size, np.float32)
    for text in (b"y", b"a"):
        allowed = np.isfinite(grammar.mask(logits))
        tokens = range(0, vocabulary.size, 7)
        assert [grammar.allows(token) for token in tokens] == allowed[::7].tolist()
        grammar.accept(vocabulary.token(text))
    assert not logits.any()
    grammar.close()
    grammar.close()


def test_a_control_token_is_never_taken_for_its_name(vocabulary: Vocabulary) -> None:
    grammar = vocabulary.grammar("root ::= .*")
    names = [
        token for token in range(vocabulary.size) if llama.llama_vocab_is_control(vocabulary.pointer, token)
    ]
    allowed = [token for token in names if grammar.allows(token)]
    assert allowed == [t for t in names if llama.llama_vocab_is_eog(vocabulary.pointer, t)] != names
    assert all(len(vocabulary.pieces[t]) <= MAX_PIECE_BYTES for t in np.flatnonzero(~vocabulary.barred))
    grammar.close()


def test_a_token_that_is_not_allowed_does_not_end_the_process(vocabulary: Vocabulary) -> None:
    grammar = vocabulary.grammar('root ::= "a"')
    for token in (vocabulary.token(b"b"), vocabulary.end):
        with pytest.raises(AssertionError, match="not allowed"):
            grammar.accept(token)
    grammar.close()


def test_what_our_reader_lets_through_and_llama_cpp_refuses_is_an_error(vocabulary: Vocabulary) -> None:
    with pytest.raises(BadRequest, match="llama.cpp refuses it"):
        vocabulary.grammar('root ::= ("a" ("b" | "c") ("d" | "e")){0,1500}')
    with pytest.raises(BadRequest, match="no rule root"):
        vocabulary.grammar("")


@pytest.mark.parametrize(
    "gbnf",
    [
        "root ::= ([ ] | [ \\t])* [\\n]",
        'root ::= ([a-z] | [a-y] | [a-x])* "!"',
        f'root ::= {"[a-z]? " * 20} "!"',
        " ".join(["root ::=", *["[a-z]{0,2000}"] * 9]),
        f'root ::= {"(" * 50}"a"{")" * 50}',
    ],
)
def test_a_grammar_of_many_ways_takes_no_more_than_a_moment(vocabulary: Vocabulary, gbnf: str) -> None:
    grammar = vocabulary.grammar(gbnf)
    assert np.isfinite(grammar.mask(np.zeros(vocabulary.size, np.float32))).any()
    grammar.close()
