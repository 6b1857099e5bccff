"""What one of them can do the others can, in the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from rag.sdk import AsyncClient, Client, Rag
from rag.sdk.knowledge import Knowledge

VERBS = [name for name, _ in inspect.getmembers(Knowledge, inspect.isfunction) if not name.startswith("_")]
SPOKEN = {"search", "ask", "stream", "embed", "documents", "upload", "document", "chunks", "delete"}
RUNS = {"jobs", "job", "pause_job", "resume_job", "cancel_job", "retry_job"}


def arguments(verb: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
    """Names, kinds, defaults and types of what a verb takes."""
    found = inspect.signature(verb).parameters.values()
    return [(each.name, each.kind, each.default, each.annotation) for each in found]


def test_there_are_verbs_to_compare() -> None:
    assert {*SPOKEN, *RUNS, "whoami"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_both_have_the_verb_with_the_same_signature(verb: str) -> None:
    wanted = inspect.signature(getattr(Knowledge, verb))
    assert inspect.signature(getattr(Client, verb)) == wanted
    assert inspect.signature(getattr(Rag, verb)) == wanted


@pytest.mark.parametrize("verb", VERBS)
def test_the_awaited_verb_takes_the_same_and_gives_the_same(verb: str) -> None:
    wanted, given = getattr(Knowledge, verb), getattr(AsyncClient, verb)
    assert arguments(given) == arguments(wanted)
    gives, promised = (inspect.signature(each).return_annotation for each in (given, wanted))
    if verb == "stream":
        assert (gives, promised) == ("AsyncIterator[Event]", "Iterator[Event]")
        assert inspect.isasyncgenfunction(given)
    else:
        assert gives == promised
        assert inspect.iscoroutinefunction(given)


def test_both_clients_open_with_the_same_words() -> None:
    def opening(client: type) -> list[tuple[str, Any, Any]]:
        found = inspect.signature(client).parameters.values()
        return [(each.name, each.kind, each.default) for each in found]

    assert opening(Client) == opening(AsyncClient)
