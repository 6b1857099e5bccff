"""A throw-away child: one command that may die of native code, waited for and looked at."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from rag.workers import ENVIRONMENT, how_it_ended


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended: `status` as of a subprocess (negative: killed by that signal), what it wrote, and
    the last it wrote to standard error."""

    status: int
    output: str = ""
    last_words: str = ""

    @property
    def why(self) -> str:
        """What a child that failed said of it, or what became of it."""
        return self.last_words if self.status > 0 and self.last_words else how_it_ended(self.status)


def run(command: list[str], *, timeout_s: float | None = None, lines: int = 1) -> Ending:
    """Run a command to its end, with nothing to read; `lines`: how many the last words are.

    Raises TimeoutError after `timeout_s`; the child is killed then.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT | os.environ,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} took longer than {timeout_s:g} s") from None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return Ending(done.returncode, done.stdout.decode("utf-8", "replace"), " ".join(said[-lines:]))
