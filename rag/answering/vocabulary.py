"""The closed classes of words, read from vocabulary.toml."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

# Words of one side, and those that say the opposite.
Pairs = tuple[tuple[frozenset[str], frozenset[str]], ...]

_TABLES = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text("utf-8"))

FUNCTION_WORDS = frozenset(_TABLES["function_words"].split())
ABBREVIATIONS = frozenset(_TABLES["abbreviations"].split())
MONTHS = {name: number for number, names in enumerate(_TABLES["months"], start=1) for name in names.split()}
UNITS = {name: names.split()[0] for names in _TABLES["units"] for name in names.split()}
NUMBERS = {name: Decimal(value) for value, names in _TABLES["numbers"].items() for name in names.split()}
SCALES = {name: Decimal(value) for value, names in _TABLES["scales"].items() for name in names.split()}
OPPOSITES, ANTONYMS = (
    tuple((frozenset(left.split()), frozenset(right.split())) for left, right in _TABLES[name])
    for name in ("opposites", "antonyms")
)
TO_BE, BY, LOOSE, DETERMINERS, BREAKS, SCAFFOLD, TELLING, ASIDES = (
    frozenset(_TABLES[name].split())
    for name in ("to_be", "by", "loose", "determiners", "breaks", "scaffold", "telling", "asides")
)
STRONG = tuple(frozenset(words.split()) for words in _TABLES["strong"])
MODIFIERS = (*(frozenset(words.split()) for words in _TABLES["modifiers"]), *STRONG)
