"""The engine whole: the real model in a real child, many streams at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rag.engine.generator import Delta, Engine, Finished, Logprob, Reuse, Sampling, Terms
from rag.engine.prompt import Piece, render
from rag.engine.scheduler import WORTH_WAITING
from rag.errors import (
    BadRequest,
    ContextTooLong,
    DecodeError,
    Overloaded,
    RagError,
    WorkerDied,
    WorkerError,
    WorkerTimeout,
)
from rag.models.lockfile import entry
from rag.settings import EngineSettings
from rag.store.revocation import revoke_kv
from rag.types import Message
from tests.rag.engine.callers import OwnPeer

pytestmark = pytest.mark.model
T = TypeVar("T")
SETTINGS = EngineSettings(context=1024, slots=4, max_queue=2, micro_batch=64, threads=1, tune=False)
WORDS = ("a tree", "a bird", "a fish", "a town", "a king", "a song")
COUNTING = Sampling(max_tokens=12)


class Loop:
    """One engine on one event loop for all tests of this file."""

    def __init__(self, home: Path, settings: EngineSettings = SETTINGS) -> None:
        self._runner = asyncio.Runner()
        self.engine = Engine.of(home, settings)

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


def test_slot_seconds_add_up_to_the_time_the_engine_worked(run: Loop) -> None:
    async def story() -> tuple[float, list[Finished]]:
        before = (await run.engine.info())["steps_s"]
        found = await asyncio.gather(*(told(run.engine, f"Name {word}.") for word in WORDS[:4]))
        return (await run.engine.info())["steps_s"] - before, [finished for _, finished in found]

    steps_s, together = run(story())
    assert sum(each.slot_s for each in together) == pytest.approx(steps_s, rel=0.1)
    assert all(0 < each.prefill_slot_s < each.slot_s for each in together)
    # In company each has a part of a step only: that is the gain of batching.
    assert max(each.batch for each in together) > 1.5


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


def test_one_prompt_for_several_answers_is_computed_once(run: Loop) -> None:
    system = "Answer from these rules only. " + " ".join(f"Rule {number} is kept." for number in range(12))

    async def ask(text: str, seed: int) -> Finished:
        sampling = Sampling(max_tokens=8, temperature=1.0, seed=seed)
        async for event in run.engine.stream(prompt(text, system), sampling, Terms(namespace="several")):
            if isinstance(event, Finished):
                return event
        raise AssertionError("a stream ended without Finished")

    async def story() -> list[Finished]:
        await ask("Hello", 0)  # the beginning is kept by now
        question = " ".join(f"What does rule {number} say?" for number in range(12))
        return await asyncio.gather(*(ask(question, seed) for seed in range(3)))

    first, *others = sorted((one.usage for one in run(story())), key=lambda usage: usage.cached_tokens)
    assert 0 < first.cached_tokens < first.prompt_tokens - WORTH_WAITING
    # For so few nobody waits.
    assert all(usage.cached_tokens >= first.prompt_tokens - WORTH_WAITING for usage in others)


def test_what_came_in_before_a_document_was_removed_is_not_kept(tmp_path: Path) -> None:
    run = Loop(tmp_path, SETTINGS.model_copy(update={"slots": 1}))

    def asked() -> Coroutine[Any, Any, tuple[str, Finished]]:
        return told(run.engine, "What is new?", namespace="one")

    async def story() -> list[int]:
        long = run.engine.stream(prompt("Count from one to ninety."), Sampling(300), Terms(namespace="one"))
        async with contextlib.aclosing(long):  # type: ignore[type-var]
            await anext(long)
            waiting = asyncio.create_task(asked())
            while not (await run.engine.info())["waiting"]:
                await asyncio.sleep(0.01)
            revoke_kv(tmp_path)
        answers = [await waiting, await asked(), await asked()]
        return [bill.usage.cached_tokens for _, bill in answers]

    before, after, again = run(story())
    run.close()
    assert before == after == 0 < again


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

    assert run(story()) < 20.0  # a call that waits is given up after minutes
    assert run(told(run.engine, "Count from one to five."))[0]


def test_an_engine_that_hangs_is_ended_and_the_next_call_works(
    run: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        await run.engine.info()
        stopped = run.engine.worker.pid
        assert stopped is not None
        monkeypatch.setattr("rag.engine.generator.STILL_S", 1.0)
        os.kill(stopped, signal.SIGSTOP)
        waiting = told(run.engine, "Count."), run.engine.count(["a"])
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, WorkerTimeout) for one in found)
        assert "neither said nor computed anything for 1 s" in str(found[0])
        monkeypatch.undo()
        assert run.engine.worker.pid != stopped

    run(story())
    assert run(told(run.engine, "Count from one to five."))[0]


def test_an_engine_that_computes_in_silence_is_left_alone(run: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> float:
        await run.engine.info()
        monkeypatch.setattr("rag.engine.generator.STILL_S", 0.5)
        begin = time.monotonic()
        await told(run.engine, "word " * 900, Sampling(max_tokens=1))
        return time.monotonic() - begin

    assert run(story()) > 0.5


def test_an_engine_whose_reader_does_not_read_on_is_left_alone(
    run: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> tuple[int | None, Any]:
        await run.engine.info()
        pid = run.engine.worker.pid
        monkeypatch.setattr("rag.engine.generator.STILL_S", 1.0)
        async with contextlib.aclosing(run.engine.stream(prompt("Count."), COUNTING)) as events:  # type: ignore[type-var]
            await anext(events)
            await asyncio.sleep(3)  # the answer is whole long before
            *_, event = [event async for event in events]
        return pid, event

    pid, last = run(story())
    assert isinstance(last, Finished) and run.engine.worker.pid == pid


PASSAGES = (
    "The harbour office of Nordwind opens at seven in the morning and closes at eight in the evening.\n\n",
    "Hotels are paid up to one hundred and forty euros a night, and trains are second class.\n\n",
    "The coffee machine is cleaned every Friday by whoever made the last cup of the day.\n\n",
)


def from_passages(question: str, order: tuple[int, ...] = (0, 1, 2)) -> list[Piece]:
    template = entry(SETTINGS.model).template
    assert template is not None
    pieces = render([Message("system", "Quote the passages."), Message("user", f"@{question}")], template)
    told = next(at for at, piece in enumerate(pieces) if piece.text.startswith("@"))
    passages = [Piece(PASSAGES[number], False, chunk=True) for number in order]
    return [*pieces[:told], *passages, Piece(question, False), *pieces[told + 1 :]]


async def answer(
    engine: Engine, pieces: list[Piece], sampling: Sampling, terms: Terms | None = None
) -> tuple[str, Finished, list[Delta]]:
    deltas: list[Delta] = []
    async for event in engine.stream(pieces, sampling, terms or Terms()):
        if isinstance(event, Finished):
            return "".join(delta.text for delta in deltas), event, deltas
        deltas.append(event)
    raise AssertionError("a stream ended without Finished")


QUOTE = "Repeat the first passage word for word, then the second."


@pytest.fixture(scope="module")
def without_lookup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("home"), SETTINGS.model_copy(update={"lookup": False}))
    yield loop
    loop.close()


def test_guessing_ahead_changes_the_speed_and_not_the_text(run: Loop, without_lookup: Loop) -> None:
    sampling = Sampling(max_tokens=48, logprobs=2)
    _, bill, guessed = run(answer(run.engine, from_passages(QUOTE), sampling))
    _, other, plain = without_lookup(answer(without_lookup.engine, from_passages(QUOTE), sampling))
    assert bill.accepted > 0, "an answer that quotes its passages was not guessed at all"
    assert other.drafted == 0
    pairs = zip(spoken(guessed), spoken(plain), strict=False)
    parted = next((pair for pair in pairs if pair[0].token != pair[1].token), None)
    # A batch of several tokens rounds otherwise than one alone: they may part at a near tie, nowhere else.
    assert parted is None or parted[1].top[0][2] - parted[1].top[1][2] < 0.5


def spoken(deltas: list[Delta]) -> list[Logprob]:
    return [chance for delta in deltas for chance in delta.logprobs]


def test_verbatim_answers_are_runs_of_the_passages(run: Loop) -> None:
    text, _, _ = run(
        answer(
            run.engine, from_passages("When does the office open?"), Sampling(max_tokens=40, verbatim=True)
        )
    )
    assert text.strip()
    for quote in filter(None, map(str.strip, text.split("\n"))):
        assert any(quote in passage for passage in PASSAGES), quote


def test_a_grammar_and_a_schema_are_kept_to(run: Loop) -> None:
    yes_or_no = Sampling(max_tokens=8, grammar='root ::= "yes" | "no"')
    text, finished, _ = run(answer(run.engine, from_passages("Is coffee free?"), yes_or_no))
    assert text in ("yes", "no") and finished.reason == "stop"
    schema = '{"type": "object", "properties": {"opens": {"type": "integer"}}, "required": ["opens"]}'
    text, finished, _ = run(
        answer(run.engine, from_passages("When?"), Sampling(max_tokens=40, json_schema=schema))
    )
    if finished.reason == "stop":
        assert isinstance(json.loads(text)["opens"], int)
    with pytest.raises(BadRequest, match="grammar"):
        run(answer(run.engine, from_passages("When?"), Sampling(grammar="root ::= undefined")))


def test_logprobs_are_those_of_the_drawn_tokens(run: Loop) -> None:
    text, finished, deltas = run(
        answer(run.engine, prompt("Name a tree."), Sampling(max_tokens=6, logprobs=3))
    )
    chances = spoken(deltas)
    assert len(chances) == finished.usage.completion_tokens
    assert "".join(chance.text for chance in chances).startswith(text.split()[0])
    for chance in chances:
        assert chance.logprob == chance.top[0][2] <= 0.0 and len(chance.top) == 3  # greedy


def test_a_banned_token_is_never_said(run: Loop) -> None:
    plain, _, deltas = run(answer(run.engine, prompt("Name a tree."), Sampling(max_tokens=6, logprobs=0)))
    banned = deltas[0].logprobs[0].token
    _, _, others = run(
        answer(
            run.engine,
            prompt("Name a tree."),
            Sampling(max_tokens=6, logprobs=0, logit_bias=((banned, -100.0),)),
        )
    )
    assert banned not in [chance.token for chance in spoken(others)]
    assert plain


def test_a_replayable_answer_has_the_same_bytes_alone_and_in_a_crowd(run: Loop) -> None:
    terms = Terms(namespace="a", replayable=True)
    ask = [from_passages(f"What is said about {word}?") for word in WORDS]
    sampling = Sampling(max_tokens=16, logprobs=2)

    async def story() -> tuple[list[Any], list[Any]]:
        alone = [await answer(run.engine, pieces, sampling, terms) for pieces in ask[:2]]
        crowd = [asyncio.create_task(told(run.engine, f"Tell of {word}.")) for word in WORDS[:2]]
        beside = await asyncio.gather(*(answer(run.engine, pieces, sampling, terms) for pieces in ask[:2]))
        await asyncio.gather(*crowd)
        return alone, list(beside)

    alone, beside = run(story())
    for (text, bill, deltas), (other, other_bill, others) in zip(alone, beside, strict=True):
        assert text == other and bill.usage == other_bill.usage and bill.usage.cached_tokens == 0
        # Bit by bit: the same text could come from other numbers.
        chances, other_chances = (
            [one for delta in many for one in delta.logprobs] for many in (deltas, others)
        )
        assert chances == other_chances


def test_approximate_reuse_needs_the_proof_of_this_model(run: Loop) -> None:
    sampling, terms = Sampling(max_tokens=4), Terms(namespace="p", reuse=Reuse.APPROXIMATE)
    run(answer(run.engine, from_passages("When?"), sampling, terms))
    _, bill, _ = run(answer(run.engine, from_passages("When?", (2, 0, 1)), sampling, terms))
    assert bill.usage.approximate_tokens == 0
    assert run(run.engine.info())["reuse"] == "exact"


def test_a_parked_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def turn(engine: Engine, pieces: list[Piece]) -> tuple[str, Finished]:
        text, bill, _ = await answer(engine, pieces, COUNTING, Terms(namespace="chat", park=True))
        return text, bill

    async def story() -> tuple[Finished, dict[str, Any], Finished]:
        first = Engine.of(tmp_path, SETTINGS)
        opening = prompt("Count from one to five.")
        said, one = await turn(first, opening)
        await first.close()
        second = Engine.of(tmp_path, SETTINGS)
        kept = (await second.info())["kv"]
        after = [Piece(said, False), Piece("<|im_end|>\n<|im_start|>user\n", True), Piece("And back?", False)]
        end = Piece("<|im_end|>\n<|im_start|>assistant\n", True)
        _, two = await turn(second, [*opening, *after, end])
        await second.close()
        return one, kept, two

    one, kept, two = asyncio.run(asyncio.wait_for(story(), 120))
    assert kept["memory_bytes"] == 0
    assert two.usage.cached_tokens >= one.usage.prompt_tokens + one.usage.completion_tokens - 2


def test_a_busy_user_does_not_keep_others_waiting(run: Loop) -> None:
    order: list[str] = []

    async def ask(user: str, number: int) -> None:
        pieces = prompt(f"Write a story of {user} {number}.")
        await answer(run.engine, pieces, Sampling(max_tokens=24), Terms(user=user))
        order.append(user)

    async def story() -> None:
        many = [asyncio.create_task(ask("many", number)) for number in range(5)]  # four slots, one waits
        while not (await run.engine.info())["waiting"]:
            await asyncio.sleep(0.01)
        await asyncio.gather(*many, asyncio.create_task(ask("few", 0)))

    run(story())
    assert order[-1] == "many"


class Caller(OwnPeer):
    """A request as the service takes it, without a connection."""

    method, cancelled = "stream", False

    def __init__(self, text: str) -> None:
        pieces = [(piece.text, piece.control, piece.chunk) for piece in prompt(text)]
        self.args = {"prompt": pieces, "sampling": {"max_tokens": 4}, "terms": {"namespace": None}}
        self.said = ""
        self.failed: BaseException | None = None

    def emit(self, event: Any) -> None:
        self.said += event.get("text", "")

    def finish(self, result: Any = None) -> None:
        pass

    def fail(self, error: BaseException) -> None:
        self.failed = error


@pytest.mark.parametrize(
    "fault", ["llama.cpp refuses its step", "its draw goes wrong in a way nobody foresaw"]
)
def test_what_goes_wrong_in_one_sequence_fails_that_one_only(run: Loop, tmp_path: Path, fault: str) -> None:
    """The engine itself, in this process: a share is spoilt on its way to the model, or a draw after it."""
    from rag.child import Inbox
    from rag.engine.engine import EngineService

    service = EngineService(str(tmp_path), SETTINGS.model_dump(mode="json"))
    good, bad = Caller("Count from one to five."), Caller("Name a tree.")
    inbox = Inbox({})
    for caller in (good, bad):
        inbox.put(caller)  # type: ignore[arg-type]
    decode = service.model.decode

    def spoilt(shares: list[Any]) -> Any:
        return decode([replace(one, tokens=[10**6]) if one.slot == 1 else one for one in shares])

    def broken(*_: Any) -> int:
        raise IndexError("nobody foresaw this")

    service.receive(inbox)
    if fault.startswith("llama"):
        service.model.decode = spoilt  # type: ignore[method-assign]
    else:
        [job] = [job for job in service.batcher._jobs.values() if job.sequence.slot == 1]
        job.sampler.draw = broken  # type: ignore[method-assign]
    while not service.scheduler.is_idle:
        service.batcher.step()
    service.close()
    assert isinstance(bad.failed, DecodeError if fault.startswith("llama") else IndexError)
    assert good.failed is None and good.said
