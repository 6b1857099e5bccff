"""What one answer takes: seconds by stage, tokens, CPU-seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from rag.engine.generator import Finished
from rag.types import Usage


@dataclass
class Account:
    """Kept while an answer is made; a lap ends a stage."""

    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    finish: Literal["stop", "length"] = "stop"
    engine_cpu_s: float = 0.0
    model: str = ""

    def lap(self, stage: str) -> None:
        """Book what passed since the last lap under this stage."""
        passed = time.perf_counter() - self.started - sum(self.seconds.values())
        self.seconds[stage] = self.seconds.get(stage, 0.0) + passed

    def settle(self, finished: Finished) -> None:
        """Book what the engine says it took."""
        self.usage, self.engine_cpu_s, self.finish = finished.usage, finished.cpu_s, finished.reason

    @property
    def cpu_s(self) -> float:
        """CPU-seconds of the engine for this answer, and of this process meanwhile, whoever they were for."""
        return self.engine_cpu_s + time.process_time() - self.cpu_started
