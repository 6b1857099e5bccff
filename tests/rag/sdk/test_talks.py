"""Kept conversations through both clients and in this process: the same words over the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from rag.assembly import System
from rag.errors import BadRequest, NotFound, WorkerUnavailable
from rag.models.lockfile import entry
from rag.sdk import AsyncClient, Client
from rag.sdk.own import OwnTalks
from rag.settings import Settings
from rag.types import Principal
from tests.rag.conversations.conftest import OpenLibrary

LEAVE = "How many days of paid leave?"


@pytest.fixture
def library(library: Any) -> OpenLibrary:
    return OpenLibrary(database=library.database)


@pytest.fixture
def client(service: Any) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture
def own(service: Any, tmp_path: Path) -> OwnTalks:
    """The same conversations without the server."""
    needed: Any = dict.fromkeys(each.name for each in fields(System) if each.default_factory is MISSING)
    used = {"settings": Settings(home=tmp_path), "principal": Principal(), "catalog": service.library}
    system = System(**{**needed, **used, "model": entry("smollm2-135m-instruct")})
    return OwnTalks(system)


def test_a_question_is_kept_and_the_next_one_reads_it(service: Any, client: Client) -> None:
    first = client.ask(LEAVE, conversation="new")
    *_, last = client.stream("And hotels at night?", conversation=first.conversation)
    second = last.answer  # type: ignore[union-attr]
    assert second.conversation == first.conversation and second.message != first.message
    assert [turn.content for turn in service.library.asked[1]["history"]] == [LEAVE, first.text]
    found = client.conversations.get(first.conversation)
    assert [each.text for each in found.messages][1::2] == [first.text, second.text]
    assert client.ask(LEAVE).conversation == ""


def test_a_conversation_is_made_renamed_found_rewound_and_deleted(client: Client, own: OwnTalks) -> None:
    talks = client.conversations
    made = talks.create("Holidays")
    answer = client.ask(LEAVE, conversation=made.id)
    assert talks.rename(made.id, "Paid leave").title == "Paid leave"
    assert [each.id for each in talks.all(search="paid LEAVE")] == [made.id]
    assert talks.all() == own.all() and talks.get(made.id) == own.get(made.id)
    own.rewind(made.id, answer.message)
    assert talks.get(made.id).messages == []
    talks.delete(made.id)
    for either in (talks, own):
        with pytest.raises(NotFound, match="no conversation"):
            either.get(made.id)


def test_a_link_is_read_along_until_it_is_taken_back(client: Client, own: OwnTalks) -> None:
    talks = client.conversations
    kept = client.ask(LEAVE, conversation="new").conversation
    link = talks.share(kept)
    token = link.path.rpartition("/")[2]
    assert link == own.share(kept)
    assert [each.text for each in talks.shared(token).messages][0] == LEAVE
    assert talks.shared(token) == own.shared(token)
    talks.unshare(kept)
    with pytest.raises(NotFound, match="no conversation is shared"):
        talks.shared(token)


def test_feedback_is_given_and_read_page_after_page(client: Client, own: OwnTalks) -> None:
    given = [client.ask(LEAVE, conversation="new") for _ in range(3)]
    for answer, rating in zip(given, ("up", "down", "up"), strict=True):
        client.conversations.give_feedback(answer.conversation, answer.message, rating, reason="unclear")
    seen = client.conversations.feedback(rating="up")
    assert [each.verdict.message for each in seen] == [given[2].message, given[0].message]
    assert client.conversations.feedback() == own.feedback()
    verdict = own.give_feedback(given[0].conversation, given[0].message, "down", comment=" too long ")
    assert client.conversations.get(given[0].conversation).feedback == {verdict.message: verdict}
    with pytest.raises(BadRequest, match="'sideways' is none of up, down"):
        own.give_feedback(given[0].conversation, given[0].message, "sideways")
    with pytest.raises(BadRequest, match="rating"):
        client.conversations.give_feedback(given[0].conversation, given[0].message, "sideways")


def test_the_awaited_client_does_the_same(service: Any, client: Client) -> None:
    async def story() -> None:
        async with AsyncClient(service.url) as awaited:
            talks = awaited.conversations
            made = await talks.create("Holidays")
            answer = await awaited.ask(LEAVE, conversation=made.id)
            await talks.rename(made.id, "Paid leave")
            await talks.give_feedback(made.id, answer.message, "up")
            assert await talks.get(made.id) == client.conversations.get(made.id)
            token = (await talks.share(made.id)).path.rpartition("/")[2]
            assert await talks.shared(token) == client.conversations.shared(token)
            await talks.unshare(made.id)
            assert await talks.feedback() == client.conversations.feedback()
            await talks.rewind(made.id, answer.message)
            assert await talks.all() == client.conversations.all()
            await talks.delete(made.id)
            assert await talks.all() == []

    asyncio.run(story())


def test_every_page_of_a_long_list_is_read(client: Client, own: OwnTalks) -> None:
    for number in range(205):
        own.create(f"Talk {number}")
    assert len({each.id for each in client.conversations.all()}) == 205


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_is_put_into_a_conversation_once(moody: Any, stream: bool) -> None:
    moody.script = [503]
    with Client(moody.url) as client, pytest.raises(WorkerUnavailable):
        list(client.stream("leave?", conversation="new")) if stream else client.ask("?", conversation="new")
    assert len(moody.seen) == 1
