"""Which grammars are refused before llama.cpp sees them, and why."""

from __future__ import annotations

import pytest

from rag.engine.gbnf import check
from rag.errors import BadRequest

CHAIN = "".join(f'a{n} ::= a{n + 1} "x"\n' for n in range(2000)) + 'a2000 ::= "y"\nroot ::= a0'
DOUBLING = "".join(f'a{n} ::= a{n + 1} a{n + 1} | ""\n' for n in range(40)) + 'a40 ::= "x" | ""\nroot ::= a0'


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("", "no rule root"),
        ("# nothing but a comment\n", "no rule root"),
        ('answer ::= "yes"', "no rule root"),
        ("root ::= item", "item is used and not defined"),
        ('root ::= "a', "cannot be read"),
        ('root = "a"', "cannot be read"),
        ('root ::= "a" "b" ::= "c"', "an item was expected"),
        ('root ::= ("a"', r"\) was expected"),
        ('root ::= "a")', "new line or the end"),
        ("root ::= *", "nothing in front to repeat"),
        ('root ::= ""*', "nothing in front to repeat"),
        (r'root ::= "\q"', r"no escape \\q"),
        (r'root ::= "\x1"', r"no escape \\x"),
        ("root ::= []", "set of characters is empty"),
        ('root ::= "a"{5,3}', "5 is more than 3"),
        ('root ::= "a"{0,999999}', "at most 2000 repetitions"),
        ('root ::= "a"{99999999999}', "cannot be read"),
        (f'root ::= "{"a" * 1000}"{{2000}}', "written out"),
        ('root ::= ("a"?)*', "repeated that may be empty"),
        ('root ::= root "a" | "b"', "left recursion"),
        ('root ::= x root "a"\nx ::= y\ny ::= "" | "b"', "left recursion"),
        ("root ::= a\na ::= b\nb ::= a", "left recursion"),
        ('root ::= "a"\nroot ::= "b"', "defined twice"),
        (f"root ::= {'(' * 200}{')' * 200}", "nest deeper"),
        (f"root ::= {'[a-z]? ' * 60}", "optional parts in a row"),
        (CHAIN, "more than 1000 ways"),
        (DOUBLING, "more than 1000 ways"),
        ('root ::= "a' + "\0" + 'b"', "NUL"),
        ('root ::= "\ud800"', "surrogate"),
        ('root ::= <[5]> "a"', "cannot be read"),
        ("root ::= " + "x" * 200_000, "characters"),
    ],
)
def test_what_llama_cpp_would_not_survive_is_refused_with_its_reason(grammar: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        check(grammar)


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "yes" | "no"',
        'root ::= (\n  "a"\n | "b" )+ # a comment\n\n\nrest ::= root?',
        r'root ::= [^"\\\x00-\x1F] "\"" [\]\-a]{2,3} "é" [\U0001F600-\U0001F64F]',
        'root ::= "a" root | "b"',
        'root ::=\n "a" |\n "b"',
        "root ::= [a-z]{0,2000} .",
        'root ::= "" | "a"{3} "b"{2,} [0-9]{0,0}',
        'root ::= value\nvalue ::= "[" (value ("," value)*)? "]"',
    ],
)
def test_what_llama_cpp_reads_is_let_through_and_only_for_its_root(grammar: str) -> None:
    check(grammar)
    with pytest.raises(BadRequest, match="there is no rule root"):
        check(grammar.replace("root", "other"))
