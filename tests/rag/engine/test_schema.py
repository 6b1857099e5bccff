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
    ],
)
def test_what_a_grammar_cannot_keep_is_refused_by_name(schema: Any, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        gbnf_of(schema if isinstance(schema, str) else json.dumps(schema))


def test_a_schema_that_is_only_itself_is_left_recursion() -> None:
    with pytest.raises(BadRequest, match="left recursion"):
        check(gbnf_of(json.dumps({"anyOf": [{"$ref": "#"}, {"type": "null"}]})))


def test_a_schema_of_many_properties_is_read() -> None:
    properties = {f"name{number}": {"type": "string", "maxLength": 200} for number in range(200)}
    grammar = gbnf_of(json.dumps({"type": "object", "properties": properties, "required": ["name7"]}))
    check(grammar)
    members = re.findall(r'"\\"(name\d+)\\"" colon rule-\d+', grammar)
    assert sorted(members) == sorted(properties)
