from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from rag.sdk.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    with contextlib.closing(Loop()) as loop:
        yield loop


def test_a_coroutine_is_awaited_for_a_caller_without_a_loop(loop: Loop) -> None:
    assert loop.run(asyncio.sleep(0, "done")) == "done"


def test_an_error_in_the_middle_reaches_the_one_who_iterates(loop: Loop) -> None:
    async def two_then_error() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    seen = []
    with pytest.raises(ValueError, match="three"):
        for number in loop.iterate(two_then_error()):
            seen.append(number)
    assert seen == [1, 2]


def test_leaving_an_iteration_closes_the_generator(loop: Loop) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    with contextlib.closing(loop.iterate(endless())) as numbers:
        next(numbers)
    loop.run(asyncio.wait_for(closed.wait(), 60))


def test_closing_twice_is_fine_and_ends_what_still_runs() -> None:
    loop = Loop()
    with contextlib.closing(loop.iterate(forever())) as numbers:
        next(numbers)
        loop.close()
        loop.close()
        assert loop.closed


async def forever() -> AsyncIterator[int]:
    yield 0
    await asyncio.Event().wait()
