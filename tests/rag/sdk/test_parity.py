"""What one of them can do the others can, in the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from rag.sdk import AsyncClient, Client, Rag
from rag.sdk.knowledge import Knowledge
from rag.sdk.money import AsyncMoney, ClientMoney, Money
from rag.sdk.own import OwnMoney, OwnTalks
from rag.sdk.talks import AsyncTalks, ClientTalks, Talks


def verbs(role: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(role, inspect.isfunction) if not name.startswith("_")]


VERBS = verbs(Knowledge)
AREAS = ((Talks, ClientTalks, AsyncTalks, OwnTalks), (Money, ClientMoney, AsyncMoney, OwnMoney))
IN_AREAS = [(verb, *area) for area in AREAS for verb in verbs(area[0])]
SPOKEN = {"search", "ask", "stream", "embed", "documents", "upload", "document", "chunks", "delete"}
RUNS = {"jobs", "job", "pause_job", "resume_job", "cancel_job", "retry_job", "prioritise_job"}


def arguments(verb: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
    """Names, kinds, defaults and types of what a verb takes."""
    found = inspect.signature(verb).parameters.values()
    return [(each.name, each.kind, each.default, each.annotation) for each in found]


def test_there_are_verbs_to_compare() -> None:
    assert {*SPOKEN, *RUNS, "evaluate", "whoami"} <= set(VERBS)
    assert {"create", "share", "give_feedback", "usage", "set_budget"} <= {verb for verb, *_ in IN_AREAS}


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


@pytest.mark.parametrize(("verb", "role", "client", "awaited", "own"), IN_AREAS)
def test_the_verbs_of_an_area_are_the_same_everywhere(
    verb: str, role: type, client: type, awaited: type, own: type
) -> None:
    wanted = inspect.signature(getattr(role, verb))
    assert inspect.signature(getattr(client, verb)) == inspect.signature(getattr(own, verb)) == wanted
    assert inspect.signature(getattr(awaited, verb)) == wanted
    assert inspect.iscoroutinefunction(getattr(awaited, verb))


def test_both_clients_open_with_the_same_words() -> None:
    def opening(client: type) -> list[tuple[str, Any, Any]]:
        found = inspect.signature(client).parameters.values()
        return [(each.name, each.kind, each.default) for each in found]

    assert opening(Client) == opening(AsyncClient)
