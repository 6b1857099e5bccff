"""Tiers and money in the story of a query: real documents, index and ledger; only the words are scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from rag.assembly import System, open_system
from rag.assistant import Assistant, Delta, Event, Final
from rag.cost.accountant import Accountant
from rag.cost.decisions import decisions
from rag.cost.tables import ledger, reservations
from rag.engine.generator import SHARED_WITH_NOBODY, Finished, Generator, Sampling, Terms
from rag.engine.generator import Delta as Token
from rag.engine.prompt import Piece
from rag.errors import BudgetExceeded, Forbidden, IndexUnavailable, UnknownModel
from rag.models.lockfile import entry
from rag.routing.opening import template_of
from rag.routing.recording import replay
from rag.routing.router import Router
from rag.routing.voices import Voice
from rag.settings import Settings
from rag.types import Answer, Outcome, Principal, Usage

HISTORY = (
    "# History\n\nNordwind Tools was founded by Karl Brandt in 1998. The first workshop stood in Kiel.\n"
)
TRUE, FALSE = "Karl Brandt founded Nordwind Tools in 1998.", "Elves founded it in 1604. They sang."
QUESTION = "Who founded Nordwind Tools?"
TEMPLATE = template_of(entry("smollm2-135m-instruct"))


class Script:
    """A generator that says what the test tells it, and remembers how it was asked."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, list[Sampling]()

    async def stream(
        self, prompt: Sequence[Piece], sampling: Sampling, terms: Terms = SHARED_WITH_NOBODY
    ) -> AsyncIterator[Token | Finished]:
        self.asked.append(sampling)
        yield Token(self.text)
        usage = Usage(300, 20, 100)
        yield Finished("stop", usage, 0.1, 0.1, 0.5, slot_s=2.0, prefill_slot_s=0.5, batch=1.0)

    def warm(self, prompt: Sequence[Piece], terms: Terms) -> None: ...

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def info(self) -> dict[str, Any]:
        return {"name": "scripted"}

    async def close(self) -> None: ...


class Desk:
    """One system for the whole file."""

    def __init__(self, system: System, runner: asyncio.Runner) -> None:
        self.system, self.runner = system, runner
        self.accountant = Accountant(system.catalog.database, system.settings)

    def assistant(self, barred: dict[str, Any] | None = None, **voices: Generator) -> Assistant:
        """One whose tiers are these generators, cheap to dear, behind extract."""
        mine = self.system.assistant
        names = ("extract", *voices)
        made = replace(
            mine.voices,
            names=names,
            of={name: Voice(TEMPLATE, one, max_tokens=96) for name, one in voices.items()},
            router=Router(names, "small", self.system.settings.routing),
            barred=barred or {},
        )
        live = self.system.catalog.passages
        return Assistant(mine.retriever, mine.vectors, mine.settings, made, self.accountant, live=live)

    def events(self, assistant: Assistant, question: str = QUESTION, **more: Any) -> list[Event]:
        async def run() -> list[Event]:
            who = more.pop("principal", self.system.principal)
            return [event async for event in assistant.ask(question, who, **more)]

        return self.runner.run(run())

    def answer(self, assistant: Assistant, question: str = QUESTION, **more: Any) -> Answer:
        last = self.events(assistant, question, **more)[-1]
        assert isinstance(last, Final)
        return last.answer

    def rows(self, request_id: str) -> list[Any]:
        """What the ledger has of a request."""
        query = select(ledger).where(ledger.c.request_id == request_id).order_by(ledger.c.seq)
        with self.system.catalog.database.reading() as connection:
            return list(connection.execute(query))

    def held(self) -> int:
        with self.system.catalog.database.reading() as connection:
            return len(connection.execute(select(reservations)).all())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "history.md").write_text(HISTORY)
    opened = open_system(Settings(home=tmp_path_factory.mktemp("home")), generation=False)
    with asyncio.Runner() as runner:
        system = runner.run(opened.__aenter__())
        try:
            runner.run(system.ingest([folder]))
            yield Desk(system, runner)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def test_a_draft_without_support_is_tried_again_by_the_dearer_tier(desk: Desk) -> None:
    small, large = Script(FALSE), Script(TRUE)
    events = desk.events(desk.assistant(small=small, large=large), request_id="rise")
    final = events[-1]
    assert isinstance(final, Final)
    answer = final.answer
    assert (answer.tier, answer.outcome, answer.text) == ("large", Outcome.ANSWERED, f"{TRUE} [1]")
    assert "".join(event.text for event in events if isinstance(event, Delta)) == answer.text
    assert answer.usage.completion_tokens == 40, "both drafts are told"
    assert "too few sentences" in answer.why
    rows = desk.rows("rise")
    assert [(row.tier, row.outcome) for row in rows] == [("small", "escalated"), ("large", "ok")]
    assert sum(row.busy_s for row in rows) >= 4.0, "both tiers are paid for"


def test_a_good_draft_is_kept_and_the_dearer_tier_is_not_asked(desk: Desk) -> None:
    large = Script(TRUE)
    answer = desk.answer(desk.assistant(small=Script(TRUE), large=large), request_id="keep")
    assert (answer.tier, large.asked) == ("small", [])
    (row,) = desk.rows("keep")
    assert row.outcome == "ok" and row.prompt_tokens == 300
    assert answer.cost.booked == pytest.approx(row.depreciation + row.energy + row.opex, rel=1e-6)
    assert answer.cost.energy_wh > 0 and answer.cost.co2e_g > 0


def test_a_conversation_is_answered_by_the_tier_it_has_come_to(desk: Desk) -> None:
    small, large = Script(TRUE), Script(TRUE)
    answer = desk.answer(desk.assistant(small=small, large=large), before="large")
    assert (answer.tier, small.asked) == ("large", [])
    assert "the conversation is held there" in answer.why


def test_a_named_tier_is_asked_and_no_other(desk: Desk) -> None:
    answer = desk.answer(desk.assistant(small=Script(FALSE), large=Script(TRUE)), tier="small")
    assert (answer.tier, answer.outcome) == ("small", Outcome.QUOTED)
    assert "asked for by name" in answer.why
    with pytest.raises(UnknownModel, match="have extract, small"):
        desk.answer(desk.assistant(small=Script(TRUE)), tier="huge")


def test_a_barred_tier_is_refused_by_name_and_passed_over_otherwise(desk: Desk) -> None:
    assistant = desk.assistant({"large": Forbidden("no gate")}, small=Script(FALSE), large=Script(TRUE))
    with pytest.raises(Forbidden, match="no gate"):
        desk.answer(assistant, tier="large")
    assert desk.answer(assistant).tier == "small"


def test_small_talk_costs_no_model(desk: Desk) -> None:
    small = Script(TRUE)
    answer = desk.answer(desk.assistant(small=small), "hey, tell me a joke please")
    assert (answer.tier, small.asked) == ("extract", [])


@pytest.mark.parametrize("most", [1e-12])
def test_a_question_that_may_cost_less_than_its_worst_case_is_answered_cheaper(
    desk: Desk, most: float
) -> None:
    small = Script(TRUE)
    with pytest.raises(BudgetExceeded, match="max_cost"):
        desk.answer(desk.assistant(small=small), most=most, request_id="poor")
    assert small.asked == []
    (row,) = desk.rows("poor")
    assert row.outcome == "refused"


def test_a_failed_search_is_on_the_books_and_holds_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise IndexUnavailable("the index is gone")

    monkeypatch.setattr(desk.system.retriever, "search", fail)
    with pytest.raises(IndexUnavailable):
        desk.answer(desk.assistant(small=Script(TRUE)), request_id="lost")
    (row,) = desk.rows("lost")
    assert (row.outcome, desk.held()) == ("error", 0)


def test_a_caller_that_leaves_is_on_the_books_with_the_work_so_far(desk: Desk) -> None:
    assistant = desk.assistant(small=Script(TRUE))

    async def leave() -> None:
        events = assistant.ask(QUESTION, Principal(), tier="small", request_id="left")
        async for event in events:
            if isinstance(event, Delta):
                break
        await events.aclose()  # type: ignore[attr-defined]

    desk.runner.run(leave())
    (row,) = desk.rows("left")
    assert (row.outcome, desk.held()) == ("interrupted", 0)
    assert row.busy_s > 0


def test_quotes_cost_the_cpu_of_index_and_process(desk: Desk) -> None:
    answer = desk.answer(desk.assistant(small=Script(TRUE)), tier="extract", request_id="quotes")
    (row,) = desk.rows("quotes")
    assert answer.tier == "extract" and row.prompt_tokens == 0
    assert row.busy_s * desk.accountant.rates.cores >= 0.001


def test_the_chain_of_the_ledger_holds(desk: Desk) -> None:
    desk.answer(desk.assistant(small=Script(TRUE)), tier="extract", request_id="chained")
    found = desk.accountant.ledger.verify()
    assert found.rows > 0 and found.problem == ""


def test_decisions_and_what_became_of_them_are_read_from_the_ledger(desk: Desk) -> None:
    desk.answer(desk.assistant(small=Script(FALSE), large=Script(TRUE)), request_id="learn")
    lines = [json.loads(line) for line in decisions(desk.system.catalog.database)]
    (found,) = [each for each in lines if set(each["outcomes"]) == {"small", "large"}][-1:]
    assert found["outcomes"]["small"]["quality"] == 0.0 and found["outcomes"]["large"]["quality"] == 1.0
    assert found["outcomes"]["large"]["cost"] > 0 and found["tier"] == "large"
    assert QUESTION not in json.dumps(lines) and "Brandt" not in json.dumps(lines)
    router = Router(("extract", "small", "large"), "small", desk.system.settings.routing)
    assert replay(json.dumps(found), router).tier == "large"
