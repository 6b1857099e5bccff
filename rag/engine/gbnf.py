"""Reads a GBNF grammar to refuse what llama.cpp would not survive.

llama.cpp reports a grammar that it cannot read on stderr only, recurses as deep as the grammar nests, and on
a hidden left recursion or on {5,3} allocates until the process dies. So each of that is found here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from typing import NoReturn

from rag.errors import BadRequest

MAX_CHARACTERS = 100_000
MAX_RULES = 3_000
MAX_NESTING = 50
MAX_REPEATS = 2_000  # llama.cpp refuses more, or reads it as without end
MAX_EXPANDED = 200_000  # repetitions are written out
MAX_OPTIONAL = 20  # in a row: llama.cpp tries every choice among them, for every character of a token
MAX_BEGINNINGS = 1_000  # each becomes a stack of its own, and every token is tried on every stack

TOKEN = re.compile(
    r"""(?P<space>[ \t]+|\#[^\r\n]*) | (?P<newline>\r\n?|\n) | (?P<define>::=) | (?P<name>[a-zA-Z0-9-]+)
    | (?P<literal>"(?:[^"\\]|\\.)*") | (?P<set>\[(?:[^\]\\]|\\.)*\]) | (?P<any>\.)
    | (?P<count>\{[ ]*(?P<least>[0-9]{1,9})[ ]*(?P<comma>,[ ]*(?P<most>[0-9]{0,9})[ ]*)?\})
    | (?P<mark>[|()*+?])""",
    re.VERBOSE | re.DOTALL,
)
ESCAPE = re.compile(
    r"""\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]-]|(?P<unknown>.))""", re.DOTALL
)
MARKS = {"*": (0, None), "+": (1, None), "?": (0, 1)}

# What a sequence holds: a rule by name, or None for characters.
Item = str | None
Alternatives = list[list[Item]]


def check(grammar: str) -> None:
    """Refuse a grammar that llama.cpp cannot read or would hang on. Raises BadRequest with the reason."""
    if len(grammar) > MAX_CHARACTERS:
        raise BadRequest(f"grammar: {len(grammar)} characters; at most {MAX_CHARACTERS} are read")
    if "\0" in grammar or any("\ud800" <= character <= "\udfff" for character in grammar):
        raise BadRequest("grammar: it holds a NUL character or half of a surrogate pair; remove it")
    reader = _Reader(grammar)
    reader.read()
    rules = reader.rules
    if "root" not in rules:
        raise BadRequest("grammar: there is no rule root; an answer begins there: root ::= ...")
    for alternatives in rules.values():
        for item in (item for sequence in alternatives for item in sequence):
            if item is not None and item not in rules:
                raise BadRequest(f"grammar: rule {item} is used and not defined")
    nullable = _nullable(rules)
    if bad := next((item for item in reader.repeated if item in nullable), None):
        raise BadRequest(f"grammar: in rule {_shown(bad)} something is repeated that may be empty")
    _check_optional(rules, nullable)
    _check_beginnings(rules, nullable)


class _Reader:
    """Rules as alternatives of sequences; groups and repetitions get rules of their own."""

    def __init__(self, grammar: str) -> None:
        self.rules: dict[str, Alternatives] = {}
        self.repeated: list[Item] = []
        self._tokens = list(_tokens(grammar))
        self._at = 0
        self._name = ""
        self._last = ""
        self._expanded = 0

    def read(self) -> None:
        while self._skip("space", "newline") != "end":
            self._expect("name")
            name = self._name = self._last
            if name in self.rules:
                self._fail(f"rule {name} is defined twice")
            self._skip("space")
            self._expect("define")
            self._skip("space", "newline")
            self.rules[name] = self._alternatives(0)
            if self._skip("space") not in ("newline", "end"):
                self._fail("a new line or the end was expected")

    def _alternatives(self, depth: int) -> Alternatives:
        if depth > MAX_NESTING:
            self._fail(f"groups nest deeper than {MAX_NESTING}")
        alternatives = [self._sequence(depth)]
        while self._take("|"):
            self._skip("space", "newline")
            alternatives.append(self._sequence(depth))
        return alternatives

    def _sequence(self, depth: int) -> list[Item]:
        items: list[Item] = []
        size = 0  # of the newest item; 0 where there is nothing to repeat
        between = ("space", "newline") if depth else ("space",)
        while (kind := self._skip(*between)) not in ("end", "newline", "|", ")"):
            if kind in MARKS or kind == "count":
                self._repeat(items, size, *self._bounds(kind))
                continue
            size = {"literal": len(self._next) - 2, "set": len(self._next)}.get(kind, 1)
            if kind == "(":
                self._expect("(")
                self._skip("space", "newline")
                items.append(self._rule(self._alternatives(depth + 1)))
                self._skip("space", "newline")
                self._expect(")")
            elif kind == "name":
                self._expect("name")
                items.append(self._last)
            elif kind in ("literal", "set", "any"):
                self._expect(kind)
                self._characters(kind, self._last)
                items += [None] * bool(size)
            else:
                self._fail("an item was expected")
        return items

    def _repeat(self, items: list[Item], size: int, least: int, most: int | None) -> None:
        if not size or not items:
            self._fail("there is nothing in front to repeat")
        if least > MAX_REPEATS or (most or 0) > MAX_REPEATS:
            self._fail(f"at most {MAX_REPEATS} repetitions can be counted")
        if most is not None and most < least:
            self._fail(f"{least} is more than {most}")
        self._expanded += size * max(least, most or 1)
        if self._expanded > MAX_EXPANDED:
            self._fail(f"repetitions, written out, are longer than {MAX_EXPANDED}")
        item = items.pop()
        if most is None or most > 1:
            self.repeated.append(item)
        items += [item] * min(least, 1)
        if most is None or most > least:
            rest = self._rule([[item], []])
            if most != 1:
                self.rules[rest][0].append(rest)
            items.append(rest)

    def _bounds(self, kind: str) -> tuple[int, int | None]:
        token = self._tokens[self._at]
        self._expect(kind)
        if kind in MARKS:
            return MARKS[kind]
        least = int(token["least"])
        if token["comma"] is None:
            return least, least
        return least, int(token["most"]) if token["most"] else None

    def _characters(self, kind: str, text: str) -> None:
        if kind == "set" and text in ("[]", "[^]"):
            self._fail("a set of characters is empty")
        if kind != "any" and (bad := next((m for m in ESCAPE.finditer(text) if m["unknown"]), None)):
            self._fail(f"there is no escape {bad.group()}")

    def _rule(self, alternatives: Alternatives) -> str:
        name = f"{self._name} {len(self.rules)}"  # no name has a space
        self.rules[name] = alternatives
        if len(self.rules) > MAX_RULES:
            self._fail(f"there are more than {MAX_RULES} rules")
        return name

    @property
    def _next(self) -> str:
        return self._tokens[self._at].group() if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        if self._at == len(self._tokens):
            return "end"
        kind = self._tokens[self._at].lastgroup or ""
        return self._next if kind == "mark" else kind

    def _skip(self, *kinds: str) -> str:
        while self._kind() in kinds:
            self._at += 1
        return self._kind()

    def _take(self, kind: str) -> bool:
        if self._kind() != kind:
            return False
        self._last = self._next
        self._at += 1
        return True

    def _expect(self, kind: str) -> None:
        if not self._take(kind):
            self._fail(f"{kind} was expected")

    def _fail(self, reason: str) -> NoReturn:
        where = f"before {self._next[:20]!r}" if self._next else "at the end"
        raise BadRequest(f"grammar: {reason}, in rule {self._name or '1'} {where}")


def _tokens(grammar: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(grammar):
        if not (token := TOKEN.match(grammar, at)):
            raise BadRequest(f"grammar: {grammar[at : at + 20]!r} at character {at} cannot be read")
        yield token
        at = token.end()


def _nullable(rules: dict[str, Alternatives]) -> set[str]:
    """The rules that may be empty."""
    nullable: set[str] = set()
    known = -1
    while known < len(nullable):
        known = len(nullable)
        # Backwards: rules mostly use those below them.
        for name in reversed(rules):
            if name not in nullable and any(all(item in nullable for item in one) for one in rules[name]):
                nullable.add(name)
    return nullable


def _check_optional(rules: dict[str, Alternatives], nullable: set[str]) -> None:
    for name, alternatives in rules.items():
        for sequence in alternatives:
            runs = (list(run) for optional, run in groupby(sequence, nullable.__contains__) if optional)
            if any(len(run) > MAX_OPTIONAL for run in runs):
                raise BadRequest(
                    f"grammar: rule {_shown(name)} has more than {MAX_OPTIONAL} optional parts in a row; "
                    "write x{0,n}, or nest them: (x (x)?)?"
                )


def _check_beginnings(rules: dict[str, Alternatives], nullable: set[str]) -> None:
    """Refuse left recursion, and rules that may begin in too many ways."""
    beginnings = {
        name: [item for sequence in alternatives for item in _leftmost(sequence, nullable)]
        for name, alternatives in rules.items()
    }
    order = TopologicalSorter({name: [i for i in items if i] for name, items in beginnings.items()})
    ways: dict[str, int] = {}
    try:
        for name in order.static_order():
            ways[name] = 1 + sum(ways[item] if item else 1 for item in beginnings[name])
            if ways[name] > MAX_BEGINNINGS:
                raise BadRequest(
                    f"grammar: rule {_shown(name)} may begin in more than {MAX_BEGINNINGS} ways; simplify it"
                )
    except CycleError as error:
        name = _shown(error.args[1][0])
        raise BadRequest(
            f"grammar: rule {name} begins with itself (left recursion); put it last instead"
        ) from None


def _leftmost(sequence: list[Item], nullable: set[str]) -> Iterator[Item]:
    for item in sequence:
        yield item
        if item not in nullable:
            return


def _shown(name: str) -> str:
    return name.split(" ")[0]
