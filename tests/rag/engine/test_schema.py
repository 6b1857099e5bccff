"""JSON Schemas as grammars: what is refused. What the grammars yield is in test_grammar."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rag.engine.gbnf import check
from rag.engine.schema import gbnf_of
from rag.errors import BadRequest


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "it is list, and must be an object"),
        ({"type": "strnig"}, "type is 'strnig'; have object, array"),
        ({"type": "string", "pattern": "^a$"}, "pattern is not supported for type string"),
        ({"type": "integer", "minimum": 3}, "minimum is not supported for type integer"),
        ({"oneOf": []}, "oneOf is not supported"),
        ({"type": "object", "patternProperties": {}}, "patternProperties"),
        ({"type": "object", "minLength": 3}, "minLength is not supported for type object"),
        ({"anyOf": []}, "no value"),
        ({"anyOf": [{"type": "null"}], "type": "null"}, "type is not supported beside anyOf"),
        ({"enum": [1, 2], "type": "string"}, "no value"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"$ref": "https://example.org/schema"}, "leads nowhere"),
        ({"$ref": "#/$defs/a", "$defs": {"a": False}}, "False stands where a schema must be"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "maxItems 2 is less than minItems 3"),
        ({"type": "string", "maxLength": 1_000_000}, "from 0 to 2000"),
        ({"type": "string", "maxLength": "3"}, "maxLength is '3'; it must be int"),
        ({"type": "string", "format": "email"}, "format 'email' is not supported"),
        ({"type": "object", "properties": []}, "properties is"),
        ({"type": "object", "required": [1]}, "required names 1; it must be the name of a property"),
        ({"type": "object", "required": [["a"]]}, "required names"),
        ({"type": [["object"]]}, "type is"),
        ({"required": ["a"], "additionalProperties": False}, "'a' is required, and additionalProperties"),
        ('{"const": NaN}', "not JSON: NaN is no number of JSON"),
        ('{"const": 1e999}', "not JSON: 1e999 is beyond"),
    ],
)
def test_what_a_grammar_cannot_keep_is_refused_by_name(schema: Any, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        gbnf_of(schema if isinstance(schema, str) else json.dumps(schema))


def test_a_schema_that_is_only_itself_is_left_recursion() -> None:
    with pytest.raises(BadRequest, match="left recursion"):
        check(gbnf_of(json.dumps({"anyOf": [{"$ref": "#"}, {"type": "null"}]})))


def test_a_required_name_that_is_not_described_is_what_other_properties_are() -> None:
    schema = {"required": ["b"], "additionalProperties": {"type": "integer"}}
    assert re.search(r'"\\"b\\"" colon integer$', gbnf_of(json.dumps(schema)), re.MULTILINE)


def test_what_is_only_described_in_words_may_be_anything() -> None:
    schema = {"type": "object", "properties": {"extra": {"title": "Extra", "description": "any value"}}}
    assert re.search(r'"\\"extra\\"" colon value$', gbnf_of(json.dumps(schema)), re.MULTILINE)
    assert re.search(r"^root ::= object$", gbnf_of('{"title": "Anything"}'), re.MULTILINE)


def test_a_date_is_one_in_every_year() -> None:
    assert '"02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])' in gbnf_of('{"type": "string", "format": "date"}')


def test_a_schema_of_many_properties_is_read() -> None:
    properties = {f"name{number}": {"type": "string", "maxLength": 200} for number in range(200)}
    grammar = gbnf_of(json.dumps({"type": "object", "properties": properties, "required": ["name7"]}))
    check(grammar)
    members = re.findall(r'"\\"(name\d+)\\"" colon rule-\d+', grammar)
    assert sorted(members) == sorted(properties)
