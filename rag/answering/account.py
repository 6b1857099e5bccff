"""What one answer takes: seconds by stage, tokens, CPU-seconds, and the work that is paid for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from rag.cost.meter import Work
from rag.engine.generator import Finished
from rag.types import Usage
from rag.workers import CpuTally


@dataclass
class Account:
    """Kept while an answer is made; a lap ends a stage. `children`: CPU-seconds of the index for it.

    `on_packed` is told the tokens of passages and question in a prompt before it is sent, `on_finished` what
    became of it.
    """

    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    finish: Literal["stop", "length"] = "stop"
    children: CpuTally = field(default_factory=CpuTally)
    engine_cpu_s: float = 0.0
    model: str = ""
    on_packed: Callable[[int], Awaitable[None]] | None = None
    on_finished: Callable[[Finished], None] | None = None

    def lap(self, stage: str) -> None:
        """Book what passed since the last lap under this stage."""
        passed = time.perf_counter() - self.started - sum(self.seconds.values())
        self.seconds[stage] = self.seconds.get(stage, 0.0) + passed

    def settle(self, finished: Finished) -> None:
        """Book what the engine says it took; a second tier adds to the first."""
        self.usage = self.usage + finished.usage
        self.engine_cpu_s += finished.cpu_s
        self.finish = finished.reason
        if self.on_finished:
            self.on_finished(finished)

    @property
    def cpu_s(self) -> float:
        """CPU-seconds of engine and index for this answer, and of this process meanwhile, whoever they were
        for."""
        return self.engine_cpu_s + self.children.seconds + time.process_time() - self.cpu_started


def work_of(finished: Finished) -> Work:
    """What an engine did for one prompt."""
    usage = finished.usage
    return Work(
        prefill_s=finished.prefill_slot_s,
        decode_s=finished.slot_s - finished.prefill_slot_s,
        queue_s=finished.queue_s,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        batch=finished.batch,
    )
