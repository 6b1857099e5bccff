"""A JSON Schema as a grammar: every text the grammar allows is JSON that the schema accepts.

The other direction does not hold: objects have their named properties in the order of the schema and no
others. A keyword that the grammar could not keep is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isinf
from typing import Any
from urllib.parse import unquote

from rag.engine.gbnf import MAX_REPEATS
from rag.errors import BadRequest

ANNOTATIONS = {
    *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"),
    *("examples", "deprecated", "readOnly", "writeOnly"),
}
# What each type understands beside `type`.
KEYWORDS: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "number": set(),
    "integer": set(),
    "boolean": set(),
    "null": set(),
}
HEX = "[0-9a-fA-F]"
FORMATS = {  # February has 28 days: a leap year cannot be told
    "date": '[0-9]{4} "-" (("0" [13578] | "1" [02]) "-" (day | "30" | "31")'
    ' | ("0" [469] | "11") "-" (day | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))',
    "time": r'([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] "Z"',
    "uuid": f'{HEX}{{8}} "-" {HEX}{{4}} "-" {HEX}{{4}} "-" {HEX}{{4}} "-" {HEX}{{12}}',
}
FORMATS["date-time"] = f'{FORMATS["date"]} "T" {FORMATS["time"]}'
BASE = r"""
space ::= ([ ] | "\n" [ ]{0,20})?
comma ::= "," space
colon ::= ":" space
day ::= "0" [1-9] | [12] [0-9]
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" unit)
unit ::= [0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}
string ::= "\"" char* "\""
boolean ::= "true" | "false"
null ::= "null"
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
value ::= object | array | string | number | boolean | null
member ::= string colon value
object ::= "{" space (member (comma member)* space)? "}"
array ::= "[" space (value (comma value)* space)? "]"
"""


def gbnf_of(schema: str) -> str:
    """The grammar of a JSON Schema given as JSON text; "{}" is any object. Raises BadRequest."""
    try:
        root = json.loads(schema, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"json_schema: it is not JSON: {error}") from None
    if not isinstance(root, dict):
        raise BadRequest(f"json_schema: it is {type(root).__name__}, and must be an object")
    rules = _Rules(root)
    try:
        rules.refer("#")
    except RecursionError:
        raise BadRequest("json_schema: it nests too deep; use $ref") from None
    return rules.text


class _Rules:
    """The rules made so far from one schema. Each method returns what stands for its schema elsewhere."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._rules: dict[str, str] = {}
        self._referred: dict[str, str] = {}

    @property
    def text(self) -> str:
        # The base first: llama.cpp counts names that are new in a repetition.
        return BASE + "".join(f"{name} ::= {rule}\n" for name, rule in self._rules.items())

    def refer(self, pointer: str) -> str:
        """The rule of a place in the schema, which may refer to itself."""
        if pointer not in self._referred:
            name = self._referred[pointer] = "root" if pointer == "#" else f"ref-{len(self._referred)}"
            schema = self._resolve(pointer)
            self._rules[name] = "object" if pointer == "#" and _is_open(schema) else self._expression(schema)
        return self._referred[pointer]

    def _resolve(self, pointer: str) -> Any:
        schema: Any = self._root
        path = unquote(pointer).split("/")
        try:
            if path[0] != "#":
                raise KeyError(path[0])
            for name in path[1:]:
                name = name.replace("~1", "/").replace("~0", "~")
                schema = schema[int(name)] if isinstance(schema, list) else schema[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BadRequest(
                f"json_schema: $ref {pointer!r} leads nowhere; use #/$defs/NAME of this schema"
            ) from None
        return schema

    def _expression(self, schema: Any) -> str:
        if schema is True or _is_open(schema):
            return "value"
        if not isinstance(schema, dict):
            raise BadRequest(f"json_schema: {schema!r} stands where a schema must be; use an object")
        keys = schema.keys() - ANNOTATIONS
        if "$ref" in keys:
            _refuse(keys - {"$ref"}, "beside $ref")
            return self.refer(_is(str, schema, "$ref"))
        if "anyOf" in keys:
            _refuse(keys - {"anyOf"}, "beside anyOf")
            return self._any([self._expression(one) for one in _is(list, schema, "anyOf")])
        if keys & {"const", "enum"}:
            _refuse(keys - {"const", "enum", "type"}, "beside const or enum")
            return self._any([_literal(value) for value in _constants(schema)])
        makers = {"object": self._object, "array": self._array, "string": self._string}
        return self._any([makers[kind](schema) if kind in makers else kind for kind in _types(schema, keys)])

    def _any(self, expressions: list[str]) -> str:
        if not expressions:
            raise BadRequest("json_schema: anyOf or enum leaves no value; name at least one")
        return expressions[0] if len(expressions) == 1 else self._rule(" | ".join(expressions))

    def _rule(self, text: str) -> str:
        name = f"rule-{len(self._rules)}"
        self._rules[name] = text
        return name

    def _object(self, schema: dict[str, Any]) -> str:
        properties = {**_is(dict, schema, "properties", {})}
        more = schema.get("additionalProperties", True)
        required = _is(list, schema, "required", [])
        for name in required:
            if not isinstance(name, str):
                raise BadRequest(f"json_schema: required names {name!r}; it must be the name of a property")
            if name not in properties and more is False:
                raise BadRequest(
                    f"json_schema: {name!r} is required, and additionalProperties false forbids it; "
                    "describe it in properties"
                )
        properties |= {name: more for name in required if name not in properties}
        if properties:
            members = [(self._member(name, properties[name]), name in required) for name in properties]
            return self._rule(f'"{{" space {self._members(members)} "}}"')
        if more is False:
            return self._rule('"{" space "}"')
        member = self._rule(f"string colon {self._expression(more)}")
        return self._rule(f'"{{" space ({member} (comma {member})* space)? "}}"')

    def _member(self, name: str, schema: Any) -> str:
        return self._rule(f"{_literal(name)} colon {self._expression(schema)}")

    def _members(self, members: list[tuple[str, bool]]) -> str:
        # `rest`: the members from one on when there are some in front already. `firsts`: the ways to begin.
        rest, firsts = "space", ['""']
        for member, is_required in reversed(members):
            firsts = [f"{member} {rest}"] + ([] if is_required else firsts)
            rest = self._rule(f"comma {member} {rest}" if is_required else f"(comma {member})? {rest}")
        return self._rule(" | ".join(firsts))

    def _array(self, schema: dict[str, Any]) -> str:
        least, most = _bounds(schema, "minItems", "maxItems")
        if most == 0:
            return self._rule('"[" space "]"')
        item = self._rule(self._expression(schema.get("items", True)))
        again = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        items = f"{item} (comma {item}){again} space"
        return self._rule(f'"[" space {items} "]"' if least else f'"[" space ({items})? "]"')

    def _string(self, schema: dict[str, Any]) -> str:
        if (kind := schema.get("format")) is not None:
            if kind not in FORMATS:
                raise BadRequest(f"json_schema: format {kind!r} is not supported; have {', '.join(FORMATS)}")
            _refuse(schema.keys() & {"minLength", "maxLength"}, "beside format")
            return self._rule(f'"\\"" {FORMATS[kind]} "\\""')
        least, most = _bounds(schema, "minLength", "maxLength")
        if least == 0 and most is None:
            return "string"
        return self._rule(f'"\\"" char{{{least},{"" if most is None else most}}} "\\""')


def _is_open(schema: Any) -> bool:
    """Whether a schema says nothing of what it accepts."""
    return isinstance(schema, dict) and not schema.keys() - ANNOTATIONS


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if isinf(value := float(digits)):
        raise ValueError(f"{digits[:20]} is beyond every number that can be kept")
    return value


def _types(schema: dict[str, Any], keys: set[str]) -> list[str]:
    given = schema.get("type", [kind for kind, known in KEYWORDS.items() if keys & known])
    types = [given] if isinstance(given, str) else given
    if not isinstance(types, list) or not types or any(kind not in [*KEYWORDS] for kind in types):
        _refuse(keys - {"type"}, "without a type")
        raise BadRequest(f"json_schema: type is {given!r}; have {', '.join(KEYWORDS)}")
    _refuse(keys.difference({"type"}, *(KEYWORDS[kind] for kind in types)), f"for type {', '.join(types)}")
    return types


def _refuse(keywords: Iterable[str], where: str) -> None:
    if names := sorted(keywords):
        raise BadRequest(f"json_schema: {', '.join(names)} is not supported {where}; leave it out")


def _constants(schema: dict[str, Any]) -> list[Any]:
    values = [schema["const"]] if "const" in schema else _is(list, schema, "enum")
    types = _types({"type": schema["type"]}, {"type"}) if "type" in schema else list(KEYWORDS)
    return [value for value in values if any(_fits(value, kind) for kind in types)]


def _fits(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[kind])


def _literal(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _bounds(schema: dict[str, Any], low: str, high: str) -> tuple[int, int | None]:
    least, most = _is(int, schema, low, 0), schema.get(high)
    if most is not None and _is(int, schema, high) < least:
        raise BadRequest(f"json_schema: {high} {most} is less than {low} {least}")
    if not 0 <= max(least, most or 0) <= MAX_REPEATS or least < 0:
        raise BadRequest(f"json_schema: {low} {least}, {high} {most}: from 0 to {MAX_REPEATS} is possible")
    return least, most


def _is(kind: type, schema: dict[str, Any], name: str, default: Any = None) -> Any:
    value = schema.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRequest(f"json_schema: {name} is {value!r}; it must be {kind.__name__}")
    return value
