"""Several real servers behind one generator: slow ones, dying ones, full ones."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from rag.engine.address import Address
from rag.engine.generator import Delta, Finished, Sampling
from rag.engine.prompt import Piece
from rag.engine.remote import RemoteGenerator
from rag.errors import BadRequest, WorkerDied, WorkerError, WorkerUnavailable
from rag.routing.broker import Broker, Endpoint
from rag.routing.tiers import Tier, TierKind
from tests.rag.routing.conftest import Provider, served

PROMPT = [Piece("<|im_start|>user\n", True), Piece("hello", False)]
TWENTY = Sampling(max_tokens=20)


def endpoint(url: str, **given: Any) -> Endpoint:
    return Endpoint(url, RemoteGenerator(Address(url), model="big"), **given)


@asynccontextmanager
async def broker(*endpoints: Endpoint, **given: Any) -> AsyncIterator[Broker]:
    made = Broker(endpoints, **given)
    try:
        yield made
    finally:
        await made.close()


async def text(generator: Broker) -> str:
    events = [event async for event in generator.stream(PROMPT, TWENTY)]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.fixture
def gone() -> Iterator[str]:
    """Where nobody listens and nobody can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_the_cheaper_of_two_that_are_in_time_answers(provider: Any, other: Any) -> None:
    async def story() -> None:
        async with broker(endpoint(provider.url, price=3.0), endpoint(other.url, price=1.0)) as both:
            assert await text(both) == "One two"

    asyncio.run(story())
    assert (len(provider.bodies), len(other.bodies)) == (0, 1)


def test_the_prices_of_a_tier_s_urls_are_those_of_its_servers(provider: Any, other: Any) -> None:
    urls = (provider.url, other.url)
    tier = Tier("large", TierKind.REMOTE, "big", urls=urls, url_prices=(3.0, 1.0), deadline_s=9.0)

    async def story() -> None:
        both = Broker.of(tier, [RemoteGenerator(Address(url), model="big") for url in urls])
        assert [each.name for each in both.order(20)] == [other.url, provider.url]
        assert both.deadline_s == 9.0
        await both.close()

    asyncio.run(story())


def test_a_slow_server_is_left_once_it_is_known_to_miss_the_deadline(provider: Any, other: Any) -> None:
    provider.usage = {"prompt_tokens": 9, "completion_tokens": 2}

    async def story() -> None:
        slow, quick = endpoint(provider.url, price=1.0), endpoint(other.url, price=3.0)
        async with broker(slow, quick, deadline_s=5.0) as both:
            provider.pause_s = 0.5  # in time with its first word, late with its last
            await text(both)
            await text(both)
            assert slow.expected_s(20, both._clock(), unknown_s=0) > 5.0

    asyncio.run(story())
    assert (len(provider.bodies), len(other.bodies)) == (1, 1)


def test_a_first_word_that_does_not_come_is_asked_of_another(provider: Any, other: Any) -> None:
    provider.first_s = 5.0

    async def story() -> None:
        async with broker(endpoint(provider.url), endpoint(other.url, price=1.0), deadline_s=0.3) as both:
            assert await text(both) == "One two"
            assert both.endpoints[0].failures == 1

    asyncio.run(story())
    assert (len(provider.bodies), len(other.bodies)) == (1, 1)


def test_a_dead_server_is_passed_over_and_then_left_alone(gone: str, other: Any) -> None:
    async def story() -> None:
        async with broker(endpoint(gone), endpoint(other.url, price=1.0)) as both:
            assert await text(both) == "One two"
            assert [each.name for each in both.order(20)] == [other.url, gone]
            assert (await both.info())["endpoints"][0]["resting"]

    asyncio.run(story())


def test_another_server_is_asked_at_once_when_one_refuses(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.engine.remote.PAUSE_S", 30.0)
    busy = {"error": {"message": "Loading model"}}

    async def story() -> None:
        with served(Provider()) as first:
            both = Broker([endpoint(first.url), endpoint(other.url, price=1.0)])
            assert await text(both) == "One two"
            first.statuses = [(503, busy)] * 3
            await passed_over(both)
            assert len(first.bodies) == 2
        both.endpoints[0].rests_until = 0.0
        await passed_over(both)  # nothing listens there any more
        await both.close()

    async def passed_over(both: Broker) -> None:
        began = time.monotonic()
        assert await text(both) == "One two"
        assert time.monotonic() - began < 30.0

    asyncio.run(story())
    assert len(other.bodies) == 2


def test_the_last_server_is_asked_again_before_a_request_is_given_up(gone: str, provider: Any) -> None:
    provider.statuses = [(503, {"error": {"message": "Loading model"}})] * 2

    async def story() -> None:
        async with broker(endpoint(gone), endpoint(provider.url)) as both:
            assert await text(both) == "One two"

    asyncio.run(story())
    assert len(provider.bodies) == 3


def test_a_server_that_dies_in_the_middle_is_not_hidden(provider: Any, other: Any) -> None:
    provider.words = ["One", provider.DIE]

    async def story() -> None:
        async with broker(endpoint(provider.url), endpoint(other.url, price=1.0)) as both:
            said = []
            with pytest.raises(WorkerDied):
                async for event in both.stream(PROMPT, TWENTY):
                    said.append(event)
            assert said == [Delta("One")]
            assert await text(both) == "One two"

    asyncio.run(story())
    assert len(other.bodies) == 1


def test_an_overloaded_server_sends_to_the_next(provider: Any, other: Any) -> None:
    provider.statuses = [(429, {"error": {"message": "later"}})]

    async def story() -> None:
        async with broker(endpoint(provider.url), endpoint(other.url, price=1.0)) as both:
            assert await text(both) == "One two"

    asyncio.run(story())


def test_a_request_that_is_wrong_is_wrong_everywhere(provider: Any, other: Any) -> None:
    provider.statuses = [(400, {"error": {"message": "odd"}})]

    async def story() -> None:
        async with broker(endpoint(provider.url), endpoint(other.url, price=1.0)) as both:
            with pytest.raises(BadRequest, match="odd"):
                await text(both)
            assert both.endpoints[0].failures == 0

    asyncio.run(story())
    assert other.bodies == []


def test_when_all_fail_the_last_error_is_told(provider: Any, other: Any) -> None:
    provider.statuses = [(429, {"error": {"message": "later"}})]
    other.statuses = [(500, {"error": {"message": "boom"}})]

    async def story() -> None:
        async with broker(endpoint(provider.url), endpoint(other.url, price=1.0)) as both:
            with pytest.raises(WorkerError, match="boom"):
                await text(both)

    asyncio.run(story())


def test_work_in_hand_fills_a_server_and_the_next_one_is_asked(provider: Any, other: Any) -> None:
    provider.first_s = other.first_s = 0.3

    async def story() -> None:
        cheap, dear = endpoint(provider.url, slots=2), endpoint(other.url, price=1.0, slots=2)
        async with broker(cheap, dear, deadline_s=10.0) as both:
            await text(both)
            cheap.first_s, cheap.tokens_per_s = 3.0, 5.0  # 7 s for twenty: two rounds are too late
            await asyncio.gather(*(text(both) for _ in range(4)))
            assert (cheap.active, dear.active) == (0, 0)

    asyncio.run(story())
    assert (len(provider.bodies), len(other.bodies)) == (3, 2)


def test_a_measurement_is_forgotten_so_that_a_slow_server_gets_another_chance() -> None:
    now = 0.0
    slow = endpoint("http://127.0.0.1:9")
    slow.measure(20.0, 20, 20.0, now)
    assert slow.expected_s(20, now, unknown_s=5.0) == pytest.approx(40.0)
    assert slow.expected_s(20, now + 60, unknown_s=5.0) == pytest.approx(20.0)


def test_a_reader_who_goes_away_frees_the_server(provider: Any) -> None:
    provider.words, provider.pause_s = [" word"] * 50, 0.05

    async def story() -> None:
        async with broker(endpoint(provider.url)) as one:
            events = one.stream(PROMPT, TWENTY)
            async with aclosing(events):  # type: ignore[type-var]
                await anext(events)
                assert one.endpoints[0].active == 1
            assert one.endpoints[0].active == 0

    asyncio.run(story())


def test_counting_and_telling_go_to_a_server_that_lives(gone: str, other: Any) -> None:
    async def story() -> None:
        async with broker(endpoint(gone), endpoint(other.url, price=1.0)) as both:
            assert await both.count(["eight letters"]) == [4]
            assert (await both.info())["remote"] == other.url
        async with broker(endpoint(gone)) as none:
            with pytest.raises(WorkerUnavailable):
                await none.count(["x"])

    asyncio.run(story())


def test_failures_make_it_rest_longer_but_not_for_ever() -> None:
    one = endpoint("http://127.0.0.1:9")
    rests = []
    for _ in range(8):
        one.rest(100.0)
        rests.append(one.rests_until - 100.0)
    assert rests == [2, 4, 8, 16, 32, 60, 60, 60]
