"""Conversations over HTTP, with real keys of several people over a real catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rag.accounts.accounts import Accounts
from rag.accounts.roles import Role
from rag.api.app import create_app
from rag.assembly import System
from rag.conversations.turns import Past, add, before
from rag.errors import BadRequest, NotFound
from rag.models.lockfile import entry
from rag.settings import Settings
from rag.store.catalog import Catalog
from rag.store.intake import Intake
from rag.store.queue import Listed, Queue, Shelf
from rag.store.versions import Description
from rag.types import Chunk, Message, Passage, Principal
from tests.rag.conversations.conftest import answered

OWNER = Principal()


@dataclass
class Office:
    """A server, the keys of those who work here, and the system behind it."""

    system: System
    accounts: Accounts
    door: TestClient

    def person(self, name: str, *groups: str, role: Role = Role.READER, tenant: str = "default") -> Person:
        key, shown = self.accounts.issue(name, tenant, "laptop", role=role, groups=("everyone", *groups))
        return Person(self, self.accounts.keys.holder(shown), {"Authorization": f"Bearer {shown}"})

    def publish(self, title: str, text: str, *groups: str) -> Passage:
        queue, catalog = Queue(self.system.catalog.database), self.system.catalog
        queue.enqueue(
            [Listed(f"/{title}.md", text, 9)], Shelf.of(OWNER, "handbook", groups or ("everyone",), "1")
        )
        claim = queue.claim(lease_s=60)
        assert claim

        def cut(version: int) -> list[Chunk]:
            return [Chunk(f"chunk-{version}", 0, text)]

        about, intake = Description(title, "text/plain", 1), Intake(catalog.database)
        version = intake.take(claim, f"sha-{text}", about, cut, worker=queue.worker)
        assert version
        (chunk,) = cut(version)
        catalog.publish(claim.document_id, version)
        return Passage(chunk, claim.document_id, version, title, f"/{title}.md", score=0.5)


@dataclass
class Person:
    """Somebody with a key."""

    office: Office
    principal: Principal
    headers: dict[str, str]

    def call(self, method: str, path: str, **options: Any) -> Any:
        return self.office.door.request(method, path, headers=self.headers, **options)

    def ask(self, question: str, *passages: Passage, into: str = "new") -> tuple[str, str]:
        """As the chat endpoint does it; ids of conversation and answer."""
        kept = add(self.office.system, self.principal, into, question, answered(*passages))
        assert kept
        return kept


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    catalog = Catalog(tmp_path)
    needed: Any = dict.fromkeys(each.name for each in fields(System) if each.default_factory is MISSING)
    used = {"settings": Settings(home=tmp_path), "principal": OWNER, "catalog": catalog}
    system = System(**{**needed, **used, "model": entry("smollm2-135m-instruct")})
    app = create_app(system)
    with TestClient(app, base_url="http://127.0.0.1") as door:
        yield Office(system, app.state.accounts, door)
    catalog.close()


def test_a_conversation_is_read_renamed_and_deleted_by_its_owner(office: Office) -> None:
    ann = office.person("ann")
    found, answer = ann.ask("How many days of leave?", office.publish("Leave", "Leave is 28 days."))
    ann.ask("And for part-timers?", into=found)
    reply = ann.call("GET", f"/v1/conversations/{found}").json()
    assert [each["text"] for each in reply["messages"]] == [
        "How many days of leave?",
        "Leave is 28 days. [1]",
        "And for part-timers?",
        "The documents do not answer this.",
    ]
    part = reply["messages"][1]["rag"]
    assert (part["citations"][0]["quote"], part["message"], part["conversation"]) == (
        "Leave is 28 days.",
        answer,
        found,
    )
    assert len(part["model_sha256"]) == 64
    assert (
        ann.call("PATCH", f"/v1/conversations/{found}", json={"title": " My  leave "}).json()["title"]
        == "My leave"
    )
    listed = ann.call("GET", "/v1/conversations").json()["conversations"]
    assert [each["title"] for each in listed] == ["My leave"]
    assert ann.call("DELETE", f"/v1/conversations/{found}").status_code == 204
    assert ann.call("GET", f"/v1/conversations/{found}").status_code == 404


def test_lists_come_in_pages_and_can_be_searched(office: Office) -> None:
    ann = office.person("ann")
    for number in range(5):
        ann.ask(f"Question {number}?")
    seen, after = [], None
    while True:
        reply = ann.call(
            "GET", "/v1/conversations", params={"limit": 2, **({"after": after} if after else {})}
        ).json()
        seen += [each["title"] for each in reply["conversations"]]
        if not (after := reply["next"]):
            break
    assert seen == [f"Question {number}?" for number in (4, 3, 2, 1, 0)]
    found = ann.call("GET", "/v1/conversations", params={"search": "question 3"}).json()["conversations"]
    assert [each["title"] for each in found] == ["Question 3?"]
    assert ann.call("GET", "/v1/conversations", params={"after": "yesterday"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"title": "Mine"}),
        ("DELETE", "", None),
        ("POST", "/share", None),
        ("DELETE", "/share", None),
        ("DELETE", "/messages/{message}", None),
        ("POST", "/messages/{message}/feedback", {"rating": "up"}),
    ],
)
def test_what_is_not_yours_was_never_there(office: Office, method: str, path: str, body: Any) -> None:
    ann, eve = office.person("ann"), office.person("eve", role=Role.ADMIN)
    found, message = ann.ask("Secret?", office.publish("Leave", "28 days."))
    real, never = (
        eve.call(method, f"/v1/conversations/{key}{path.format(message=message)}", json=body)
        for key in (found, "conv-never")
    )
    assert real.status_code == never.status_code == 404
    assert real.text.replace(found, "conv-never") == never.text
    assert eve.call("GET", "/v1/conversations").json()["conversations"] == []
    assert ann.call("GET", f"/v1/conversations/{found}").json()["conversation"]["title"] == "Secret?"


def test_a_link_shows_each_viewer_what_he_may_read_himself(office: Office) -> None:
    ann, bob = office.person("ann", "staff"), office.person("bob")
    found, _ = ann.ask("Leave?", office.publish("Leave", "28 days."))
    ann.ask("Sold?", office.publish("Plan", "It is sold.", "staff"), into=found)
    link = ann.call("POST", f"/v1/conversations/{found}/share").json()
    assert link["page"] == "/#shared=" + link["path"].removeprefix("/v1/shared/")
    shown = bob.call("GET", link["path"]).json()
    assert [each["text"] for each in shown["messages"]] == ["Leave?", "28 days. [1]", "Sold?", ""]
    assert shown["messages"][3]["withheld"] and shown["messages"][3]["rag"] is None
    assert "Plan" not in str(shown)
    stranger = office.person("carl", tenant="elsewhere")
    assert stranger.call("GET", link["path"]).status_code == 404
    assert office.door.get(link["path"]).status_code == 401
    assert ann.call("DELETE", f"/v1/conversations/{found}/share").status_code == 204
    assert bob.call("GET", link["path"]).status_code == 404


def test_a_verdict_is_given_and_seen_by_curators_without_a_name(office: Office) -> None:
    ann, cora = office.person("ann"), office.person("cora", role=Role.CURATOR)
    found, message = ann.ask("Leave?", office.publish("Leave", "28 days."))
    where = f"/v1/conversations/{found}/messages/{message}/feedback"
    given = ann.call("POST", where, json={"rating": "down", "reason": "outdated", "comment": "30 now"})
    assert (given.status_code, given.json()["reason"]) == (200, "outdated")
    kept = ann.call("GET", f"/v1/conversations/{found}").json()["feedback"]
    assert kept[message]["rating"] == "down"
    (seen,) = cora.call("GET", "/v1/feedback", params={"rating": "down"}).json()["feedback"]
    assert (seen["question"], seen["answer"]["text"], seen["verdict"]["comment"]) == (
        "Leave?",
        "28 days. [1]",
        "30 now",
    )
    assert "ann" not in str(seen)
    assert ann.call("GET", "/v1/feedback").status_code == 403
    assert ann.call("POST", where, json={"rating": "sideways"}).status_code == 400


def test_verdicts_come_in_pages(office: Office) -> None:
    ann, cora = office.person("ann"), office.person("cora", role=Role.CURATOR)
    for number in range(5):
        found, message = ann.ask(f"{number}?")
        where = f"/v1/conversations/{found}/messages/{message}/feedback"
        ann.call("POST", where, json={"rating": "up"})
    seen, after = [], None
    while True:
        params = {"limit": 2, **({"after": after} if after else {})}
        reply = cora.call("GET", "/v1/feedback", params=params).json()
        seen += [each["question"] for each in reply["feedback"]]
        if not (after := reply["next"]):
            break
    assert seen == ["4?", "3?", "2?", "1?", "0?"]
    assert cora.call("GET", "/v1/feedback", params={"after": "yesterday"}).status_code == 400


def test_the_last_question_is_taken_back_to_ask_it_otherwise(office: Office) -> None:
    ann = office.person("ann")
    found, _ = ann.ask("One?")
    _, second = ann.ask("Two?", into=found)
    assert ann.call("DELETE", f"/v1/conversations/{found}/messages/{second}").status_code == 204
    kept = ann.call("GET", f"/v1/conversations/{found}").json()["messages"]
    assert [each["text"] for each in kept][::2] == ["One?"]


def test_a_question_reads_the_turns_before_it_of_its_own_reader_only(office: Office) -> None:
    ann, eve = office.person("ann"), office.person("eve")
    found, _ = ann.ask("Leave?", office.publish("Leave", "28 days."))
    turns = (Message("user", "Leave?"), Message("assistant", "28 days. [1]"))
    assert before(office.system, ann.principal, found) == Past(turns, "extract")
    with pytest.raises(NotFound):
        before(office.system, eve.principal, found)


def test_an_answer_to_a_conversation_deleted_meanwhile_is_kept_nowhere(office: Office) -> None:
    ann = office.person("ann")
    found, _ = ann.ask("Leave?")
    ann.call("DELETE", f"/v1/conversations/{found}")
    assert add(office.system, ann.principal, found, "More?", answered()) is None
    assert ann.call("GET", "/v1/conversations").json()["conversations"] == []


def test_a_full_conversation_asks_for_another(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.conversations.turns.MOST_MESSAGES", 4)
    ann = office.person("ann")
    found, _ = ann.ask("One?")
    before(office.system, ann.principal, found)
    ann.ask("Two?", into=found)
    with pytest.raises(BadRequest, match="is full"):
        before(office.system, ann.principal, found)


@pytest.mark.parametrize("text", ["a\0b", "\u200b", "x" * 1000])
def test_any_title_is_taken_or_refused_but_never_a_failure(office: Office, text: str) -> None:
    ann = office.person("ann")
    made = ann.call("POST", "/v1/conversations", json={"title": text})
    assert made.status_code == 201
    assert "\0" not in made.json()["title"] and len(made.json()["title"]) <= 61
    surrogate = ann.call("POST", "/v1/conversations", content=b'{"title": "\\ud800"}')
    assert surrogate.status_code == 400


@pytest.mark.model
def test_a_real_answer_is_kept_read_again_and_withheld_once_its_document_is_deleted(house: Any) -> None:
    (document_id,) = house.live("kept", orchard__md="# Orchard\n\nThe orchard ladder has eleven rungs.\n")
    asked = {
        "model": "kept:extract",
        "messages": [{"role": "user", "content": "How many rungs has the orchard ladder?"}],
        "rag": {"conversation": "new"},
    }
    headers = {"Idempotency-Key": "orchard"}
    reply = house.http.post("/v1/chat/completions", json=asked, headers=headers).json()
    found = f"/v1/conversations/{reply['rag']['conversation']}"
    shown = house.http.get(found).json()["messages"][1]
    assert shown["text"] == reply["choices"][0]["message"]["content"]
    assert shown["rag"]["citations"] == reply["rag"]["citations"]
    assert shown["rag"]["citations"][0]["quote"] == "The orchard ladder has eleven rungs."
    again = house.http.post("/v1/chat/completions", json=asked, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    house.http.delete(f"/v1/documents/{document_id}").raise_for_status()
    withheld = house.http.get(found)
    assert withheld.json()["messages"][1]["withheld"]
    assert "eleven" not in withheld.text
    anew = house.http.post("/v1/chat/completions", json=asked, headers=headers)
    assert "idempotency-replayed" not in anew.headers and "eleven" not in anew.text
    assert house.http.delete(found).status_code == 204
