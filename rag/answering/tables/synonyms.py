"""Words of a question and of the head of a column that mean the same, such as staff and employees."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from rag.answering.tables.matching import root
from rag.answering.vocabulary import UNITS

GROUPS = tuple(
    frozenset(map(root, line.split()))
    for line in tomllib.loads(Path(__file__).with_name("synonyms.toml").read_text("utf-8"))["groups"]
)
UNIT_ROOTS = frozenset(map(root, UNITS))


def synonymous(asked: Collection[str], labels: Collection[str]) -> set[str]:
    """The roots asked for that a label says in other words."""
    meant = [group for group in GROUPS if not group.isdisjoint(labels)]
    return {word for word in asked if any(word in group for group in meant)}


def says(label: Collection[str], asked: Collection[str]) -> bool:
    """Whether a label, in roots, says in other words what is asked for and nothing else but a unit.

    "Price EUR" says what "cost" asks for; "Price change" does not.
    """
    telling = set(label) - UNIT_ROOTS
    return bool(telling) and telling <= synonymous(telling, asked) | set(asked)
