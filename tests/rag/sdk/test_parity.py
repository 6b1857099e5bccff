"""What one of the two can do the other can, in the same words."""

from __future__ import annotations

import inspect

import pytest

from rag.sdk import Client, Rag
from rag.sdk.knowledge import Knowledge

VERBS = [name for name, _ in inspect.getmembers(Knowledge, inspect.isfunction) if not name.startswith("_")]


def test_there_are_verbs_to_compare() -> None:
    assert {"search", "ask", "stream", "documents", "upload", "document", "delete", "jobs", "job"} <= set(
        VERBS
    )


@pytest.mark.parametrize("verb", VERBS)
def test_both_have_the_verb_with_the_same_signature(verb: str) -> None:
    wanted = inspect.signature(getattr(Knowledge, verb))
    assert inspect.signature(getattr(Client, verb)) == wanted
    assert inspect.signature(getattr(Rag, verb)) == wanted
