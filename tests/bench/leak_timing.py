"""Does the time of a reply tell whether a hidden document exists?

    python tests/bench/leak_timing.py [--questions 300]

A reader without rights asks a real server in turns for what stands in hidden documents and for what stands in
no document. Both kinds have names of their own, invented alike, so that the words of the one are in the index
and those of the other are not. Printed is how well the time of a reply tells the two apart: the area under
the ROC curve, 0.5 for not at all, with a 95 % bootstrap interval, path by path. The load of the machine falls
on both kinds alike.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

# Beside this file lies ingest.py, which would hide the package.
sys.path.append(sys.path.pop(0))

from rag.accounts.accounts import Accounts
from rag.accounts.roles import Role
from rag.api.app import create_app
from rag.assembly import System, open_system
from rag.sdk.loop import Loop
from rag.settings import Settings
from rag.types import Principal

STARTS = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"]
MIDDLES = ["lan", "mer", "nol", "pas", "rik", "sel", "tam", "vor", "wen", "zil"]
ENDS = ["a", "bo", "del", "eth", "i", "mar", "o", "quon", "ra", "tu"]
FACTS_PER_DOCUMENT = 2
WARM_UP, RESAMPLES, SEED = 40, 2000, 1
HEX = "0123456789abcdef"
BOARD = "board"
Ask = Callable[[], httpx.Response]


def main() -> None:
    """Fill a home, ask, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--questions", type=int, default=300, help="of each kind on each path")
    count = options.parse_args().questions
    draw = random.Random(SEED)
    names = ["".join(each).capitalize() for each in itertools.product(STARTS, MIDDLES, ENDS)]
    draw.shuffle(names)
    hidden, nowhere, shown = names[:count], names[count : 2 * count], names[2 * count : 3 * count]
    with tempfile.TemporaryDirectory(prefix="leak-timing-") as folder, served(Path(folder) / "kb") as desk:
        desk.fill(Path(folder) / "shown", shown, "everyone", draw)
        desk.fill(Path(folder) / "hidden", hidden, BOARD, draw)
        desk.check(hidden[0], shown[0])
        times = desk.measured(hidden, nowhere, draw)
    print(f"{'path':<14} {'AUC':>6}  95 % interval   hidden p50 / nowhere p50 (ms), {count} of each")
    for path, (one, other) in times.items():
        area, low, high = separation(np.array(one), np.array(other))
        middle = f"{1000 * np.median(one):.2f} / {1000 * np.median(other):.2f}"
        note = "  TELLS" if low > 0.55 or high < 0.45 else ""
        print(f"{path:<14} {area:6.3f}  {low:.3f} to {high:.3f}   {middle}{note}")


class Desk:
    """A system on a real port, and the connection of somebody who may read what is for everyone."""

    def __init__(self, loop: Loop, system: System, url: str) -> None:
        self.loop, self.system = loop, system
        accounts = Accounts(system.catalog.database, system.settings.home)
        _, key = accounts.issue("eve", "default", "laptop", role=Role.READER, groups=("everyone",))
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def fill(self, folder: Path, names: list[str], group: str, draw: random.Random) -> None:
        """Index documents of a few facts each for a group."""
        folder.mkdir()
        for number in range(0, len(names), FACTS_PER_DOCUMENT):
            facts = [
                f"The budget of the {name} project is {draw.randrange(1000, 99999)} euros."
                for name in names[number : number + FACTS_PER_DOCUMENT]
            ]
            (folder / f"paper-{number}.md").write_text("# Budgets\n\n" + "\n\n".join(facts) + "\n")
        self.loop.run(self.system.ingest([folder], groups=(group,)))

    def check(self, hidden: str, shown: str) -> None:
        """What is asked for is where it should be."""
        owner = Principal(groups=("everyone", BOARD))
        found = self.loop.run(self.system.retriever.search(question(hidden), owner, limit=3))
        assert any(hidden in each.chunk.text for each in found)
        passages = self.search(question(hidden)).json()["passages"]
        assert not any(hidden in each["chunk"]["text"] for each in passages)
        assert any(shown in each["chunk"]["text"] for each in self.search(question(shown)).json()["passages"])

    def search(self, text: str) -> httpx.Response:
        return self.http.post("/v1/search", json={"query": text, "limit": 8})

    def ask(self, text: str) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        return self.http.post("/v1/chat/completions", json={"model": "extract", "messages": messages})

    def measured(
        self, hidden: list[str], nowhere: list[str], draw: random.Random
    ) -> dict[str, tuple[list[float], list[float]]]:
        """Seconds of every reply by path, of what is hidden and of what is nowhere."""
        documents = self.system.catalog.documents(Principal(groups=(BOARD,)))
        real = [each.id for each in documents if each.groups == (BOARD,)]
        # Ids of the same form that nobody has.
        made = ["".join(draw.choice(HEX) if each in HEX else each for each in key) for key in real]
        times_each = -(-len(hidden) // len(real))
        real, made = real * times_each, made * times_each
        paths: dict[str, Callable[[str], httpx.Response]] = {
            "search": lambda name: self.search(question(name)),
            "ask": lambda name: self.ask(question(name)),
            "document": lambda key: self.http.get(f"/v1/documents/{key}"),
            "page image": lambda key: self.http.get(f"/v1/documents/{key}/pages/1.png"),
        }
        times: dict[str, tuple[list[float], list[float]]] = {}
        for path, send in paths.items():
            kinds = (hidden, nowhere) if path in ("search", "ask") else (real, made)
            turns = [(kind, what) for kind, each in enumerate(kinds) for what in each]
            draw.shuffle(turns)
            times[path] = ([], [])
            for _, what in draw.sample(turns, min(WARM_UP, len(turns) // 4)):
                send(what + "x" if path in ("document", "page image") else f"{what} of old")
            for kind, what in turns:
                began = time.perf_counter()
                reply = send(what)
                times[path][kind].append(time.perf_counter() - began)
                assert reply.status_code == (200 if path in ("search", "ask") else 404), reply.text
        return times


@contextlib.contextmanager
def served(home: Path) -> Iterator[Desk]:
    """A new home with its application on a free port; no limits on how often one may ask."""
    settings = Settings(
        home=home,
        limits={"requests_per_minute": 0, "tokens_per_minute": 0, "refusals_per_minute": 0},  # type: ignore[arg-type]
        answering={"cache": "off", "tier": "extract"},  # type: ignore[arg-type]
    )
    with contextlib.closing(Loop()) as loop, contextlib.ExitStack() as cleanup:
        stack = contextlib.AsyncExitStack()
        cleanup.callback(lambda: loop.run(stack.aclose()))
        system = loop.run(stack.enter_async_context(open_system(settings, generation=False)))
        config: Any = uvicorn.Config(
            create_app(system), port=0, log_config=None, lifespan="off", access_log=False
        )
        server = uvicorn.Server(config)
        loop.begin(server.serve())
        while not server.started:
            time.sleep(0.01)
        desk = Desk(loop, system, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        yield desk
        desk.http.close()
        server.should_exit = True
        while server.servers[0].is_serving():
            time.sleep(0.01)


def question(name: str) -> str:
    return f"What is the budget of the {name} project?"


def separation(one: Any, other: Any) -> tuple[float, float, float]:
    """The chance that a reply of the first kind took longer than one of the second, and its 95 % interval."""
    wins = (one[:, None] > other[None, :]) + 0.5 * (one[:, None] == other[None, :])
    draw = np.random.default_rng(SEED)
    drawn = [
        wins[draw.integers(0, len(one), len(one))][:, draw.integers(0, len(other), len(other))].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(wins.mean()), float(low), float(high)


if __name__ == "__main__":
    main()
