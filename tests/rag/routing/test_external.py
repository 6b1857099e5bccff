"""The external tier against a provider on a real port: what leaves, what does not, and what is said of it."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from rag.cost.prices import Price, PriceTable
from rag.engine.address import Address
from rag.engine.generator import Delta, Finished, Sampling, Terms
from rag.engine.prompt import Piece, render
from rag.errors import (
    BadRequest,
    EgressDenied,
    Overloaded,
    PriceUnavailable,
    RagError,
    SettingsError,
    WorkerDied,
    WorkerError,
)
from rag.routing.chat_server import ChatServer
from rag.routing.egress import Material
from rag.routing.external import Cleared, ExternalTier
from rag.routing.tiers import Tier, TierKind
from rag.settings import EgressSettings
from rag.types import Message, Principal

ANNA = Principal(tenant="acme", user="anna", key="k1")
PUBLIC = Material("acme", "public", ("press",))
OPEN = EgressSettings(tenants=("acme",), collections=("public",), labels=("press",))
PRICE = Price("big", 2.0, 10.0, 0.5, "USD", "test", datetime.date(2026, 11, 20))
PASSAGE = "Mrs. Anna Schmidt, anna@example.org, has account DE89370400440532013000."
PROMPT = [
    Piece("system", True),
    Piece("Answer from the passages.", False),
    Piece("user", True),
    Piece(PASSAGE, False, chunk=True),
    Piece("\nWhat is her account? Write to anna@example.org", False),
    Piece("assistant", True),
]
PLAIN = Sampling(max_tokens=20, stop=("\n\n",))


def tier(*urls: str, egress: EgressSettings = OPEN, **given: Any) -> Tier:
    return Tier("outside", TierKind.EXTERNAL, "big", urls=urls, key="secret", egress=egress, **given)


def told(model: str) -> Price:
    return PRICE


def within(
    made: Tier,
    story: Callable[[ExternalTier], Coroutine[Any, Any, Any]],
    price: Callable[[str], Price] = told,
) -> Any:
    async def run() -> Any:
        outside = ExternalTier(made, price=price)
        try:
            return await story(outside)
        finally:
            await outside.close()

    return asyncio.run(run())


async def said(cleared: Cleared, terms: Terms | None = None) -> str:
    events = [event async for event in cleared.stream(PROMPT, PLAIN, terms or Terms())]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


def test_personal_data_stays_here_and_is_put_back_into_the_answer(provider: Any) -> None:
    async def story(outside: ExternalTier) -> tuple[str, Any]:
        provider.words = ["It is [IB", "AN_4], ask [NAME", "_1]."]
        cleared = outside.clear(ANNA, [PUBLIC])
        return await said(cleared, Terms(namespace="acme", user="anna")), cleared.receipt

    text, receipt = within(tier(provider.url), story)
    assert text == "It is DE89370400440532013000, ask Anna Schmidt."
    [body] = provider.bodies
    assert body["messages"] == [
        {"role": "system", "content": "Answer from the passages."},
        {
            "role": "user",
            "content": "Mrs. [NAME_1], [EMAIL_3], has account [IBAN_4]."
            "\nWhat is her account? Write to [EMAIL_3]",
        },
    ]
    assert (body["model"], body["max_tokens"], body["stop"]) == ("big", 20, ["\n\n"])
    assert provider.keys == ["Bearer secret"]
    assert not any(word in json.dumps(body) for word in ("anna", "Schmidt", "DE89", "acme"))
    assert receipt.redactions == {"EMAIL": 2, "IBAN": 1, "NAME": 1}


def test_the_receipt_tells_what_left_and_what_it_cost(provider: Any) -> None:
    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        assert (cleared.receipt, cleared.egress) == (None, "nothing left this machine")
        await said(cleared)
        return cleared

    cleared = within(tier(provider.url), story)
    receipt = cleared.receipt
    assert (receipt.destinations, receipt.model, receipt.bytes) == ((provider.url,), "big", provider.bytes)
    assert (receipt.prompt_tokens, receipt.completion_tokens, receipt.estimated) == (1000, 50, False)
    assert (receipt.collections, receipt.labels) == (("public",), ("press",))
    # 800 fresh tokens at 2.0, 200 cached ones at 0.5, 50 written ones at 10.0 per million.
    assert (receipt.amount, receipt.currency) == (pytest.approx(2.2e-3), "USD")
    assert receipt.price_as_of == "2026-11-20"
    assert cleared.egress.startswith(
        f"{provider.bytes:,} bytes left to {provider.url} (big), of collections public"
    )


def test_a_rendered_conversation_arrives_as_its_messages(provider: Any) -> None:
    async def story(outside: ExternalTier) -> None:
        prompt = render(
            [Message("system", "Be brief."), Message("user", "assistant\nsystem")], outside.template
        )
        async for _ in outside.clear(ANNA, []).stream(prompt, PLAIN):
            pass

    within(tier(provider.url), story)
    assert provider.bodies[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "assistant\nsystem"},
    ]


def test_only_structured_data_is_replaced_where_the_tier_says_so(provider: Any) -> None:
    async def story(outside: ExternalTier) -> None:
        await said(outside.clear(ANNA, [PUBLIC]))

    within(tier(provider.url, egress=OPEN.model_copy(update={"redact": "structured"})), story)
    assert "Anna Schmidt" in provider.bodies[0]["messages"][1]["content"]
    assert "DE89" not in provider.bodies[0]["messages"][1]["content"]


def test_without_a_price_or_with_an_old_one_nothing_leaves(provider: Any) -> None:
    async def story(outside: ExternalTier) -> None:
        with pytest.raises(PriceUnavailable):
            outside.clear(ANNA, [PUBLIC])

    def unknown(model: str) -> Price:
        return PriceTable().price(model, datetime.date(2026, 11, 21))

    def stale(model: str) -> Price:
        return PriceTable().price("gpt-5.5", datetime.date(2030, 1, 1))

    within(tier(provider.url, price="no-such-model"), story, unknown)
    within(tier(provider.url), story, stale)
    assert provider.bodies == []


def test_a_tier_says_why_it_is_closed_without_sending_anything(provider: Any) -> None:
    async def story(outside: ExternalTier) -> tuple[str, ...]:
        board = Material("acme", "board")
        return tuple(outside.why_closed(ANNA, [one]).reason for one in (PUBLIC, board))

    open_, shut = within(tier(provider.url), story)
    assert (open_, shut) == ("", "documents of collection 'board' may not leave; see tiers.outside.egress")

    def unknown(model: str) -> Price:
        return PriceTable().price("no-such-model", datetime.date(2026, 11, 21))

    assert "no price" in within(tier(provider.url), story, unknown)[0]
    assert provider.bodies == []


def test_a_server_that_cannot_be_reached_is_not_on_the_receipt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        with pytest.raises(WorkerError):
            await said(cleared)
        return cleared

    cleared = within(tier(f"http://127.0.0.1:{port}"), story)
    assert (cleared.receipt, cleared.amount) == (None, 0.0)


def test_another_server_is_asked_and_both_are_on_the_receipt(provider: Any, other: Any) -> None:
    provider.statuses = [(503, {})]

    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        assert await said(cleared) == "One two"
        return cleared.receipt

    receipt = within(tier(provider.url, other.url), story)
    assert receipt.destinations == (provider.url, other.url)
    assert receipt.bytes == provider.bytes + other.bytes > 0
    assert len(provider.bodies) == 1  # what need not leave twice does not


def test_a_provider_that_tells_no_usage_is_charged_a_guess_that_says_so(provider: Any) -> None:
    provider.usage = None

    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        await said(cleared)
        return cleared.receipt

    receipt = within(tier(provider.url), story)
    assert receipt.prompt_tokens > 20 and receipt.completion_tokens == 2
    assert receipt.amount > 0


def test_an_answer_that_breaks_off_is_on_the_receipt(provider: Any) -> None:
    provider.words = ["One", provider.DIE]

    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        with pytest.raises(WorkerDied):
            await said(cleared)
        return cleared.receipt

    receipt = within(tier(provider.url), story)
    assert receipt.estimated and receipt.bytes == provider.bytes and receipt.amount > 0


def test_a_reader_who_goes_away_pays_for_what_was_said(provider: Any) -> None:
    provider.words, provider.pause_s = ["word "] * 40, 0.05

    async def story(outside: ExternalTier) -> Any:
        cleared = outside.clear(ANNA, [PUBLIC])
        events = cleared.stream(PROMPT, PLAIN)
        async with aclosing(events):  # type: ignore[type-var]
            await anext(events)
        return cleared.receipt

    receipt = within(tier(provider.url), story)
    assert receipt.estimated and receipt.completion_tokens >= 1


def test_a_newer_name_of_the_limit_is_learned(provider: Any) -> None:
    wrong = {"error": {"message": "Unsupported parameter: use max_completion_tokens instead"}}
    provider.statuses = [(400, wrong)]

    async def story(outside: ExternalTier) -> Any:
        first, second = outside.clear(ANNA, [PUBLIC]), outside.clear(ANNA, [PUBLIC])
        await said(first)
        await said(second)
        return first.receipt

    receipt = within(tier(provider.url), story)
    assert [("max_tokens" in body, "max_completion_tokens" in body) for body in provider.bodies] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert receipt.bytes > provider.bytes / 2


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, SettingsError, "api_key_env"),
        (404, SettingsError, "no such model"),
        (429, Overloaded, "quota"),
        (400, BadRequest, "refuses the request"),
        (500, WorkerError, "failed"),
    ],
)
def test_a_refusal_says_what_to_do(provider: Any, status: int, error: type[RagError], words: str) -> None:
    provider.statuses = [(status, {"error": {"message": "odd"}})]

    async def story(outside: ExternalTier) -> None:
        with pytest.raises(error, match=words):
            await said(outside.clear(ANNA, [PUBLIC]))

    within(tier(provider.url), story)


def test_what_no_provider_can_promise_is_refused_before_anything_leaves(provider: Any) -> None:
    async def story(outside: ExternalTier) -> None:
        for sampling, terms in ((Sampling(json_schema="{}"), Terms()), (PLAIN, Terms(replayable=True))):
            with pytest.raises(BadRequest):
                async for _ in outside.clear(ANNA, [PUBLIC]).stream(PROMPT, sampling, terms):
                    pass

    within(tier(provider.url), story)
    assert provider.bodies == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.example.org", "is not encrypted"),
        ("https://anna:geheim@api.example.org", "api_key_env"),
    ],
)
def test_an_address_that_would_tell_secrets_is_refused(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as told_:
        ExternalTier(tier(url), price=told)
    assert "geheim" not in str(told_.value)


class Ear:
    """A port that takes every connection and keeps every byte."""

    def __init__(self) -> None:
        self.connections, self.heard = 0, b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self.heard += connection.recv(65_536)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def ear() -> Iterator[Ear]:
    one = Ear()
    yield one
    one.close()


NEVER = [
    (EgressSettings(), ANNA, [PUBLIC]),
    (EgressSettings(), ANNA, []),
    (OPEN, Principal(tenant="rival"), [PUBLIC]),
    (OPEN, ANNA, [PUBLIC, Material("acme", "board")]),
    (OPEN, ANNA, [PUBLIC, Material("acme", "public", ("secret",))]),
]


@pytest.mark.parametrize(("egress", "principal", "materials"), NEVER)
def test_what_policy_forbids_reaches_no_port_on_any_path(
    ear: Ear, egress: EgressSettings, principal: Principal, materials: list[Material]
) -> None:
    async def story(outside: ExternalTier) -> None:
        for _ in range(3):  # and again, as a retry would
            with pytest.raises(EgressDenied):
                outside.clear(principal, materials)
        # Paths that a mistake elsewhere could take: none of them opens a connection.
        with pytest.raises(EgressDenied, match="without clearance"):
            async for _ in outside._broker.stream(PROMPT, PLAIN):
                pass
        outside._broker.warm(PROMPT, Terms())
        assert await outside._broker.count([PASSAGE]) == [18]
        await outside._broker.info()

    within(tier(ear.url, ear.url, egress=egress), story)
    assert (ear.connections, ear.heard) == (0, b"")


def test_even_a_cleared_request_counts_warms_and_tells_without_the_network(ear: Ear) -> None:
    async def story(outside: ExternalTier) -> None:
        cleared = outside.clear(ANNA, [PUBLIC])
        cleared.warm(PROMPT, Terms())
        await cleared.count([PASSAGE])
        assert (await cleared.info())["name"] == "big"
        await cleared.close()
        assert cleared.receipt is None

    within(tier(ear.url), story)
    assert ear.connections == 0


def test_a_passage_more_than_was_cleared_does_not_leave(ear: Ear) -> None:
    async def story(outside: ExternalTier) -> None:
        cleared = outside.clear(ANNA, [])
        with pytest.raises(EgressDenied, match="only 0 passages were cleared"):
            await said(cleared)

    within(tier(ear.url), story)
    assert ear.connections == 0


def test_a_server_alone_sends_nothing_that_nobody_cleared(ear: Ear) -> None:
    async def story() -> None:
        server = ChatServer(Address(ear.url), model="big", key="")
        with pytest.raises(EgressDenied):
            async for _ in server.stream(PROMPT, PLAIN):
                pass
        await server.close()

    asyncio.run(story())
    assert ear.connections == 0


def test_the_ear_does_hear(ear: Ear) -> None:
    async def story(outside: ExternalTier) -> None:
        with pytest.raises(WorkerError):
            await said(outside.clear(ANNA, [PUBLIC]))

    within(tier(ear.url), story)
    assert ear.connections >= 1
    assert b"/v1/chat/completions" in ear.heard
