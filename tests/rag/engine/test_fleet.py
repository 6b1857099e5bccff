"""Two real models within a budget of memory: who stays, who goes, and what cannot be."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from rag.engine.fleet import SHARE, Fleet, Member
from rag.engine.footprint import memory_bytes
from rag.engine.generator import Finished, Sampling
from rag.engine.machine import usable_bytes
from rag.engine.prompt import Piece
from rag.errors import ModelError, Overloaded, UnknownModel, WorkerDied
from rag.models.intake import Keep, Wish, add
from rag.models.lockfile import entry, locate
from rag.models.shelf import Shelf
from rag.settings import EngineSettings

pytestmark = pytest.mark.model
ONE, TWO = "smollm2-135m-instruct", "its-double"
FILE = locate(entry(ONE))
SETTINGS = EngineSettings(
    context=256, slots=2, micro_batch=32, threads=1, tune=False, kv_memory_bytes=5_000_000
)
NEED = memory_bytes(FILE, SETTINGS)
PROMPT = [Piece("Count from one to five: one, two,", False)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    add(Shelf(home), FILE, Wish(name=TWO, licence="none", template="chatml"), keep=Keep.LINK)
    return home


def fleet(home: Path, budget: int) -> Fleet:
    return Fleet(home, SETTINGS.model_copy(update={"memory_bytes": budget}))


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 200))


async def told(member: Member) -> str:
    events = member.stream(PROMPT, Sampling(max_tokens=4))
    async with aclosing(events):  # type: ignore[type-var]
        return "".join([event.text async for event in events if not isinstance(event, Finished)])


def test_models_that_fit_together_run_together_and_one_that_died_comes_back(home: Path) -> None:
    async def story() -> None:
        both = fleet(home, 2 * NEED)
        one, two = both.generator(ONE), both.generator(TWO)
        assert both.running() == {}
        said = await told(one)
        assert said and said == await told(two)
        assert both.running() == {ONE: NEED, TWO: NEED}
        assert ((await one.info())["name"], (await two.info())["name"]) == (ONE, TWO)
        engine = both.living(ONE)
        assert engine and engine.worker.pid and held_bytes(engine.worker.pid) < NEED
        os.kill(engine.worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await told(one)
        assert both.running() == {TWO: NEED}
        assert await told(one) == said
        await both.close()
        assert both.running() == {}

    run(story())


def held_bytes(pid: int) -> int:
    """Memory that nobody else has: without the pages of files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(status.split(f"{kind}:")[1].split()[0]) * 1024 for kind in ("RssAnon", "RssShmem"))


@pytest.mark.slow
def test_the_idle_one_goes_when_another_is_asked_for_and_one_that_serves_never(home: Path) -> None:
    async def story() -> None:
        single = fleet(home, 2 * NEED - 1)
        one, two = single.generator(ONE), single.generator(TWO)
        events = one.stream(PROMPT, Sampling(max_tokens=100))
        async with aclosing(events):  # type: ignore[type-var]
            await anext(events)
            with pytest.raises(
                Overloaded, match=rf"'{TWO}' would take .* others serve: {ONE} \(0\.\d\d GB\)"
            ):
                await two.count(["one two"])
            assert [event async for event in events], "it went on as if nothing had been"
        former = single.living(ONE)
        assert await two.count(["one two"]) == [2]
        assert single.running() == {TWO: NEED}
        assert former and former.worker.pid is None
        first, second = await asyncio.gather(one.count(["a"]), one.count(["a b"]))
        assert (first, second) == ([1], [2]) and single.running() == {ONE: NEED}
        await single.close()

    run(story())


def test_what_can_never_fit_is_refused_with_the_numbers_and_nothing_is_stopped(home: Path) -> None:
    async def story() -> None:
        tight = fleet(home, NEED)
        await tight.generator(ONE).count(["a"])
        tight.settings = tight.settings.model_copy(update={"kv_memory_bytes": 10**12})
        with pytest.raises(ModelError, match=r"would take 1000\.\d\d GB, engine.memory_bytes allows 0\."):
            await told(tight.generator(TWO))
        assert tight.running() == {ONE: NEED}
        with pytest.raises(UnknownModel, match=ONE):
            tight.generator("nobody")
        await tight.close()

    run(story())


def test_the_estimate_grows_with_what_the_settings_ask_for() -> None:
    wider = SETTINGS.model_copy(update={"context": 512})
    # 30 layers, 3 heads of keys and values of 64 each, 16 bit; 9 heads of scores as floats
    cells, scores = 256 * 2 * 30 * 3 * 64 * 2 * 2, 32 * 9 * 256 * 4
    assert memory_bytes(FILE, wider) - NEED == cells + scores
    assert FILE.stat().st_size < NEED < FILE.stat().st_size + 160_000_000


def test_the_budget_is_three_quarters_of_what_the_container_allows(tmp_path: Path) -> None:
    machine = usable_bytes(tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    assert usable_bytes(tmp_path) == 1_000_000 < machine
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2000000\n")
    assert usable_bytes(tmp_path) == 2_000_000
    assert Fleet(tmp_path, SETTINGS).budget == int(SHARE * usable_bytes())
