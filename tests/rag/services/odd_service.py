"""A service for the tests of children: echoes, streams, waits, fails and dies when asked to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.errors import NotFound


class OddService:
    methods = ("echo", "pid", "count_up", "streams_cut", "wait", "hold", "fail", "break_down", "die")
    ranks = {"wait": 1}

    def __init__(self, problem: str = "") -> None:
        if problem == "refuse":
            raise NotFound("no such thing as 'this'")
        if problem == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        self.cut = 0

    def echo(self, value: Any) -> Any:
        return value

    def pid(self) -> int:
        return os.getpid()

    def count_up(self, to: int) -> Iterator[int]:
        try:
            for number in range(to):
                time.sleep(0.002)
                yield number
        except GeneratorExit:
            self.cut += 1
            raise

    def streams_cut(self) -> int:
        return self.cut

    def wait(self, seconds: float) -> str:
        time.sleep(seconds)
        return "waited"

    def hold(self, until: str) -> None:
        """Say that it has begun, in a file, and wait for another."""
        over = Path(until)
        over.with_suffix(".begun").touch()
        while not over.exists():
            time.sleep(0.01)

    def fail(self) -> None:
        raise NotFound("document 7 is not here")

    def break_down(self) -> None:
        raise ZeroDivisionError("a bug")

    def die(self, sign: str) -> None:
        os.kill(os.getpid(), signal.Signals[sign])
        time.sleep(5)
