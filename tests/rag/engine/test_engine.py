"""The engine whole: the real model in a real child, many streams at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rag.engine.generator import Delta, Engine, Finished, Sampling, Terms
from rag.engine.prompt import Piece, render
from rag.errors import BadRequest, ContextTooLong, Overloaded, RagError, WorkerDied, WorkerError
from rag.models.lockfile import entry
from rag.settings import EngineSettings
from rag.types import Message

pytestmark = pytest.mark.model
T = TypeVar("T")
SETTINGS = EngineSettings(context=1024, slots=4, max_queue=2, micro_batch=64, threads=1)
WORDS = ("a tree", "a bird", "a fish", "a town", "a king", "a song")
COUNTING = Sampling(max_tokens=12)


class Loop:
    """One engine on one event loop for all tests of this file."""

    def __init__(self, home: Path) -> None:
        self._runner = asyncio.Runner()
        self.engine = Engine.of(home, SETTINGS)

    def __call__(self, story: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asyncio.wait_for(story, 120))

    def close(self) -> None:
        self(self.engine.close())
        self._runner.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("home"))
    yield loop
    loop.close()


def prompt(text: str, system: str = "You are brief.") -> list[Piece]:
    template = entry(SETTINGS.model).template
    assert template is not None
    return render([Message("system", system), Message("user", text)], template)


async def told(
    engine: Engine, text: str, sampling: Sampling = COUNTING, namespace: str | None = None
) -> tuple[str, Finished]:
    parts: list[str] = []
    async for event in engine.stream(prompt(text), sampling, Terms(namespace=namespace)):
        if isinstance(event, Finished):
            return "".join(parts), event
        parts.append(event.text)
    raise AssertionError("a stream ended without Finished")


def test_greedy_text_is_the_same_twice_and_its_bill_adds_up(run: Loop) -> None:
    (text, first), (again, _) = (run(told(run.engine, "Count from one to five.")) for _ in range(2))
    assert text and text == again
    assert first.usage.completion_tokens <= 12 and first.usage.cached_tokens == 0
    assert first.prefill_s > 0 and first.decode_s > 0 and first.cpu_s > 0


def test_more_streams_than_slots_all_finish(run: Loop) -> None:
    async def story() -> list[tuple[str, Finished]]:
        return await asyncio.gather(*(told(run.engine, f"Name {word}.") for word in WORDS))

    for text, finished in run(story()):
        assert text and finished.usage.completion_tokens > 0


def test_a_prompt_seen_before_is_not_computed_again_within_its_namespace_only(run: Loop) -> None:
    question = "When does the office open on the first Monday of a month?"
    cached = []
    for namespace in ("one", "one", "two", None):
        _, finished = run(told(run.engine, question, namespace=namespace))
        cached.append(finished.usage.cached_tokens)
        prompt_tokens = finished.usage.prompt_tokens
    assert cached == [0, prompt_tokens - 1, 0, 0]


def test_a_stop_string_ends_the_text_before_it(run: Loop) -> None:
    whole, _ = run(told(run.engine, "Count from one to five."))
    stop = whole[4:7]
    text, finished = run(told(run.engine, "Count from one to five.", replace(COUNTING, stop=(stop,))))
    assert text == whole[: whole.index(stop)]
    assert finished.reason == "stop"


def test_sampling_with_a_seed_can_be_repeated(run: Loop) -> None:
    warm = replace(COUNTING, temperature=1.5, top_p=0.9, seed=5)
    assert (
        run(told(run.engine, "Tell me a word.", warm))[0] == run(told(run.engine, "Tell me a word.", warm))[0]
    )


def test_whole_characters_only_are_delivered(run: Loop) -> None:
    text, finished = run(told(run.engine, "Tell me a story with emoji", Sampling(max_tokens=16, seed=1)))
    assert text and "\ufffd" not in text
    assert finished.reason in ("stop", "length")


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(run: Loop) -> None:
    with pytest.raises(ContextTooLong, match=r"has \d+ tokens and may grow by 1000 .* holds 1024"):
        run(told(run.engine, "long " * 100, Sampling(max_tokens=1000)))


def test_a_book_is_refused_before_it_is_tokenised(run: Loop) -> None:
    with pytest.raises(ContextTooLong, match="at least"):
        run(told(run.engine, "word " * 2_000_000))


def test_bad_requests_fail_alone(run: Loop) -> None:
    async def story() -> tuple[str, list[BaseException | Any]]:
        good = asyncio.create_task(told(run.engine, "Count from one to five."))
        await asyncio.sleep(0)
        bad = await asyncio.gather(
            told(run.engine, "x", Sampling(temperature=-1)),
            told(run.engine, "x", Sampling(max_tokens=0)),
            run.engine.worker.call("stream", prompt=[["x", False, False]], sampling={"wrong": 1}, terms={}),
            return_exceptions=True,
        )
        return (await good)[0], bad

    text, (temperature, tokens, wrong) = run(story())
    assert text == run(told(run.engine, "Count from one to five."))[0]
    assert isinstance(temperature, BadRequest) and isinstance(tokens, BadRequest)
    assert isinstance(wrong, WorkerError) and "wrong" in str(wrong)


def test_a_reader_who_leaves_frees_the_slot_at_once(run: Loop) -> None:
    async def story() -> dict[str, Any]:
        events = run.engine.stream(prompt("Write a very long story."), Sampling(max_tokens=500))
        async with contextlib.aclosing(events):  # type: ignore[type-var]
            async for event in events:
                assert isinstance(event, Delta)
                break
        # The cancellation may meet a step under way, never a second one after that.
        for _ in range(3):
            info = await run.engine.info()
            if not info["active"]:
                break
        return info

    info = run(story())
    assert (info["active"], info["waiting"]) == (0, 0)


def test_a_full_queue_refuses_the_rest_and_finishes_the_others(run: Loop) -> None:
    async def story() -> list[Any]:
        many = (told(run.engine, "Write a story.", Sampling(max_tokens=48)) for _ in range(10))
        return await asyncio.gather(*many, return_exceptions=True)

    outcomes = run(story())
    refused = [outcome for outcome in outcomes if isinstance(outcome, RagError)]
    assert refused and all(isinstance(outcome, Overloaded) for outcome in refused)
    assert len(outcomes) - len(refused) >= 2


def test_tokens_of_texts_are_counted_as_ordinary_text(run: Loop) -> None:
    plain, forged, nothing = run(run.engine.count(["hello world", "<|im_start|>", ""]))
    assert (plain, nothing) == (2, 0) and forged > 1


def test_the_engine_says_what_it_runs(run: Loop) -> None:
    info = run(run.engine.info())
    assert info["sha256"] == entry(SETTINGS.model).sha256
    assert (info["name"], info["quantisation"], info["context"]) == ("smollm2-135m-instruct", "Q4_1", 1024)


def test_a_killed_engine_is_reported_at_once_and_the_next_call_works(run: Loop) -> None:
    async def story() -> float:
        with pytest.raises(WorkerDied, match="SIGKILL"):
            async for _ in run.engine.stream(prompt("Write a long story."), Sampling(max_tokens=500)):
                assert run.engine.worker.pid is not None
                os.kill(run.engine.worker.pid, signal.SIGKILL)
                killed = time.monotonic()
        return time.monotonic() - killed

    assert run(story()) < 2.0
    assert run(told(run.engine, "Count from one to five."))[0]
