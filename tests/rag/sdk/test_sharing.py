"""One client or home for several threads and several event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rag.assistant import Delta
from rag.sdk import AsyncClient, Client, Rag

LEAVE, HOTEL = (
    "Employees have 28 days of paid leave a year. [1]",
    "Hotels are paid up to 140 euros a night. [1]",
)
QUESTIONS = ["How many days of paid leave?", "What do hotels cost a night?"] * 4
ANSWERS = [LEAVE, HOTEL] * 4


def at_once(work: Callable[[str], str]) -> list[str]:
    """The answers to QUESTIONS, each from a thread of its own, all begun at one moment."""
    together = threading.Barrier(len(QUESTIONS))

    def one(question: str) -> str:
        together.wait(30)
        return work(question)

    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        return list(pool.map(one, QUESTIONS))


def test_threads_share_a_client(service: Any) -> None:
    with Client(service.url) as client:
        assert at_once(lambda question: client.ask(question).text) == ANSWERS

        def streamed(question: str) -> str:
            return "".join(event.text for event in client.stream(question) if isinstance(event, Delta))

        assert at_once(streamed) == ANSWERS


def test_the_loops_of_several_threads_share_an_awaited_client(service: Any) -> None:
    client = AsyncClient(service.url)

    async def asked(question: str) -> str:
        try:
            return (await client.ask(question)).text
        finally:
            await client.close()

    assert at_once(lambda question: asyncio.run(asked(question))) == ANSWERS


# The connection of a loop that is over can no longer be closed by anybody.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_loop_after_the_other_uses_an_awaited_client(service: Any) -> None:
    client = AsyncClient(service.url)
    for question, answer in zip(QUESTIONS[:3], ANSWERS[:3], strict=True):
        assert asyncio.run(client.ask(question)).text == answer
    del client
    gc.collect()


def test_leaving_an_awaited_stream_stops_the_answer_on_the_server(service: Any) -> None:
    service.library.holds_after = 1

    async def leave_early() -> None:
        async with AsyncClient(service.url) as client:
            async for event in client.stream("paid leave"):
                if isinstance(event, Delta):
                    break
            deadline = time.monotonic() + 60
            while not service.library.stopped_early and time.monotonic() < deadline:
                await asyncio.sleep(0.02)

    asyncio.run(leave_early())
    assert service.library.stopped_early == 1


@pytest.mark.model
def test_threads_share_an_open_home(tmp_path: Path) -> None:
    (tmp_path / "leave.md").write_text("# Leave\n\nEmployees have 28 days of paid leave a year.\n")
    (tmp_path / "travel.md").write_text("# Travel\n\nHotels are paid up to 140 euros a night.\n")
    with Rag.open(tmp_path / "kb", store={"min_free_bytes": 1_000_000}) as kb:
        kb.ingest(tmp_path / "leave.md", tmp_path / "travel.md")
        found = at_once(lambda question: kb.ask(question, tier="extract").text)
    assert all(words in answer for words, answer in zip(["28 days", "140 euros"] * 4, found, strict=True))
