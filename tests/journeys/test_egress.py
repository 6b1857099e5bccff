"""What leaves for an external tier, through the whole system: nothing, until a policy says so."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, suppress
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from ingest.run import Wanted
from rag.api.app import create_app
from rag.assembly import System, open_system
from rag.assistant import Delta, Final
from rag.cost.ledger import Ending
from rag.cost.tables import ledger
from rag.errors import RagError
from rag.integrations.library import OwnLibrary
from rag.settings import Settings
from rag.types import Answer, Outcome
from tests.rag.routing.conftest import Provider, served

pytestmark = pytest.mark.model
OPEN = {"tenants": ["default"], "collections": ["public"]}
PRICE = {"input": 2.0, "output": 8.0, "currency": "EUR", "as_of": date.today().isoformat()}
OFFICE = (
    "# Office\n\nThe office in Kiel is led by Karl Brandt, karl.brandt@example.org. "
    "The office in Kiel opens at 8:30.\n"
)
MARKED = "# Keys\n\nThe warehouse in Lund holds fourteen spare keys for the trucks.\n"
SECRET = "# Secret\n\nThe secret project of the office in Kiel is called Heron.\n"


TIERS = {
    "silent": ({}, "big"),
    "nobody": ({"collections": ["public"]}, "big"),
    "rival": ({"tenants": ["rival"], "collections": ["public"]}, "big"),
    "stale": (OPEN, "old"),
    "out": (OPEN, "big"),
}
DOCUMENTS = {"public": (OFFICE, ()), "secret": (SECRET, ()), "marked": (MARKED, ("internal",))}


class House:
    """One system with external tiers that may send nothing, something, or all of a collection."""

    def __init__(self, runner: asyncio.Runner, system: System, provider: Provider) -> None:
        self.runner, self.system, self.provider = runner, system, provider

    def ask(self, question: str, tier: str | None, collection: str | None = "public") -> Answer:
        async def run() -> Answer:
            wish = {"tier": tier, "collection": collection, "request_id": f"{tier} {question}"}
            events = [
                event async for event in self.system.assistant.ask(question, self.system.principal, **wish)
            ]
            assert isinstance(events[-1], Final)
            return events[-1].answer

        return self.runner.run(run())

    def row(self, question: str, tier: str) -> Any:
        """The one row that the ledger has of it."""
        query = select(ledger).where(ledger.c.request_id == f"{tier} {question}")
        with self.system.catalog.database.reading() as connection:
            return connection.execute(query).one()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(Provider()) as provider, asyncio.Runner() as runner:
        provider.words = ["The office in Kiel", " opens at 8:30."]
        tiers = {
            name: {
                "kind": "external",
                "model": "big",
                "price": price,
                "urls": [provider.url],
                "egress": egress,
            }
            for name, (egress, price) in TIERS.items()
        }
        prices = {"big": PRICE, "old": PRICE | {"as_of": "2020-01-01"}}
        home = tmp_path_factory.mktemp("home")
        settings = Settings(home=home, tiers=tiers, prices=prices, engine={"tune": False})
        opened = open_system(settings, generation=False)
        system = runner.run(opened.__aenter__())
        try:
            runner.run(fill(system, tmp_path_factory.mktemp("documents")))
            yield House(runner, system, provider)
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def fill(system: System, folder: Path) -> None:
    for collection, (text, labels) in DOCUMENTS.items():
        (folder / collection).mkdir()
        (folder / collection / f"{collection}.md").write_text(text)
        pipeline = system.pipeline()
        wanted = Wanted(system.principal, "public" if labels else collection, ("everyone",), labels)
        await pipeline.sync(pipeline.folder([folder / collection]), wanted)


QUESTION = "When does the office in Kiel open?"
SECRET_QUESTION = "What is the secret project of the office in Kiel called?"


@pytest.mark.parametrize(
    ("tier", "question", "collection", "why"),
    [
        ("silent", QUESTION, "public", "no collection may leave"),
        ("nobody", QUESTION, "public", "questions of tenant 'default' may not leave"),
        ("rival", QUESTION, "public", "questions of tenant 'default' may not leave"),
        ("stale", QUESTION, "public", "last looked up on 2020-01-01"),
        ("out", SECRET_QUESTION, None, "'secret' may not leave"),
        ("out", "How many spare keys does the warehouse in Lund hold?", "public", "'internal' may not leave"),
    ],
)
def test_what_no_policy_allows_does_not_leave(
    house: House, tier: str, question: str, collection: str | None, why: str
) -> None:
    sent = house.provider.bytes
    with pytest.raises(RagError, match=why):
        house.ask(question, tier, collection)
    assert house.provider.bytes == sent
    assert house.row(question, tier).external == 0


def test_passages_that_may_not_leave_are_answered_here_when_no_tier_is_named(house: House) -> None:
    sent = house.provider.bytes
    answer = house.ask(SECRET_QUESTION, None, None)
    assert answer.tier not in TIERS and house.provider.bytes == sent
    assert "Heron" in answer.text
    assert answer.egress == "nothing left this machine"


async def through_every_door(house: House, tier: str, question: str) -> Counter[int]:
    """Statuses of the question asked of a tier at every endpoint that answers, also in a conversation, as a
    stream, as JSON, of several answers, and as an agent asks."""
    chat: dict[str, Any] = {"model": tier, "messages": [{"role": "user", "content": question}]}
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    asked = [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", {**chat, "stream": True}),
        ("/v1/chat/completions", {**chat, "n": 2, "temperature": 0.5}),
        ("/v1/chat/completions", {**chat, "response_format": shape}),
        ("/v1/chat/completions", {**chat, "rag": {"conversation": "new"}}),
        ("/v1/chat/completions", {**chat, "messages": [*chat["messages"], *TURNS]}),
        ("/v1/completions", {"model": tier, "prompt": question}),
        ("/v1/responses", {"model": tier, "input": question}),
        ("/v1/responses", {"model": tier, "input": question, "stream": True}),
    ]
    app = create_app(house.system)
    seen = Counter[int]()
    transport = httpx.ASGITransport(app=app)
    base = "http://127.0.0.1:8000"
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=base, timeout=120) as client,
    ):
        for path, body in asked:
            reply = await client.post(path, json=body)
            # A stream whose passages are known when it is too late for a status says it as its last event.
            late = reply.status_code == 200 and "egress_denied" in reply.text
            seen[403 if late else reply.status_code] += 1
    with suppress(RagError):
        await OwnLibrary(house.system, house.system.principal).ask(question)
    return seen


TURNS = [
    {"role": "assistant", "content": "The secret project of the office in Kiel is called Heron."},
    {"role": "user", "content": "And when was it called so?"},
]


@pytest.mark.parametrize("tier", ["silent", "nobody", "rival", "stale", "out", "auto"])
def test_there_is_no_door_by_which_what_may_not_leave_does(house: House, tier: str) -> None:
    sent = house.provider.bytes
    seen = house.runner.run(through_every_door(house, tier, SECRET_QUESTION))
    assert house.provider.bytes == sent
    # Every one of them: answered here where nobody named a tier, else refused.
    assert seen == Counter({200 if tier == "auto" else 403: seen.total()})


def test_what_left_is_paid_and_receipted_though_the_reader_goes_away(house: House) -> None:
    before, question = house.provider.bytes, "At what time of day does the Kiel office open?"
    house.provider.words = ["The office in Kiel opens at 8:30."] + [" The office opens."] * 50
    house.provider.pause_s = 0.05

    async def leave() -> None:
        wish = {"tier": "out", "collection": "public", "request_id": f"out {question}"}
        async with aclosing(house.system.assistant.ask(question, house.system.principal, **wish)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    return

    try:
        house.runner.run(leave())
    finally:
        house.provider.words, house.provider.pause_s = ["The office in Kiel", " opens at 8:30."], 0.0
    row = house.row(question, "out")
    [told] = json.loads(row.details)["egress"]["receipts"]
    assert row.outcome == Ending.INTERRUPTED and told["estimated"]
    assert told["bytes"] == house.provider.bytes - before > 0
    assert row.external == pytest.approx(told["amount"]) and row.external > 0
    assert row.decode_s == 0  # no engine of ours worked for it


def test_a_passage_that_may_not_leave_does_not_go_along_with_one_that_may(house: House) -> None:
    house.provider.bodies.clear()
    answer = house.ask("Who leads the office in Kiel?", "out")
    assert any("spare keys" in passage.chunk.text for passage in answer.passages), "found, so it could have"
    sent = json.dumps(house.provider.bodies)
    assert "The office in Kiel is led by" in sent and "spare keys" not in sent


def test_what_leaves_is_redacted_receipted_and_booked(house: House) -> None:
    before = house.provider.bytes
    answer = house.ask(QUESTION, "out")
    assert (answer.tier, answer.outcome) == ("out", Outcome.ANSWERED)
    assert answer.text == "The office in Kiel opens at 8:30. [1]"
    sent = json.dumps(house.provider.bodies)
    assert "karl.brandt@example.org" not in sent and "opens at 8:30" in sent
    assert house.provider.url in answer.egress and "of collections public" in answer.egress
    row = house.row(QUESTION, "out")
    told = json.loads(row.details)["egress"]["receipts"][0]
    assert told["bytes"] == house.provider.bytes - before and told["redactions"]
    # A thousand tokens read at 2 and 50 written at 8 EUR per million: cached ones have no price of their own.
    assert row.external == pytest.approx((1000 * 2 + 50 * 8) / 1e6)
    assert answer.cost.external == pytest.approx(row.external)
