"""The service in the engine child: takes requests and computes for all of them, until nobody is connected."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.child import Inbox, Request, answer, telling
from rag.engine.batcher import Batcher
from rag.engine.job import Part, allowed, prepared, refuse_a_book, segments
from rag.engine.opening import open_model
from rag.engine.pacing import Pace
from rag.engine.queue import WaitingLine
from rag.engine.scheduler import Limits, Scheduler
from rag.engine.warming import Warmer
from rag.settings import EngineSettings

QUIET_S = 0.05  # how long nothing must come in before KV is written to disk


class EngineService:
    """Many streams from one frozen model. One thread owns the model and runs the loop."""

    methods = ("stream", "warm", "count", "info")
    ranks = {"stream": 1, "warm": 2}  # counting must not wait behind a burst of prompts

    def __init__(self, home: str, engine: dict[str, Any]) -> None:
        settings = EngineSettings(**engine)
        self.opened = open_model(Path(home), settings)
        self.model, tuning = self.opened.model, self.opened.tuning
        pace = Pace()
        if tuning.is_measured:
            pace = Pace(tuning.decode_ms, token_ms=max(0.01, tuning.prefill_ms_per_token))
        line = WaitingLine(max_requests=settings.max_queue, max_tokens=settings.max_queue_tokens)
        limits = Limits(settings.slots, self.model.context, tuning.micro_batch, settings.step_target_ms)
        self.scheduler = Scheduler(limits, line, pace)
        lookup = settings.lookup and self.opened.abilities.can_trim
        self.batcher = Batcher(self.model, self.scheduler, self.opened.filler, lookup=lookup)
        self.warmer = Warmer(self.model, self.opened.filler)

    def run(self, inbox: Inbox) -> None:
        """The loop of the main thread."""
        while not inbox.closed:
            self.receive(inbox)
            if self.scheduler.is_idle:
                self.warmer.step()
            else:
                self.batcher.step()

    def close(self) -> None:
        self.opened.close()

    def warm(self, prompt: list[Part], terms: dict[str, Any]) -> int:
        """Compute the passages of a prompt in the next quiet moments; how many are not kept yet."""
        refuse_a_book(prompt, self.model)
        opened = self.opened
        return self.warmer.add(
            segments(prompt, self.model), allowed(terms, opened.most_reuse, opened.least_repair)
        )

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text, read as ordinary text."""
        return [len(self.model.tokens(text, control=False)) for text in texts]

    def info(self) -> dict[str, Any]:
        """What runs, and how busy it is."""
        pace = self.scheduler.pace
        return {
            **self.opened.describe(),
            **asdict(self.batcher.clock),
            "active": len(self.scheduler.running),
            "waiting": len(self.scheduler.line),
            "step_ms": round(pace.step_ms(1), 1),
            "prefill_token_ms": round(pace.prefill_ms, 2),
            "to_warm": len(self.warmer),
            "warmed": self.warmer.computed,
            "warming_cpu_s": round(self.warmer.cpu_s, 2),
        }

    def receive(self, inbox: Inbox) -> None:
        """Take what has come in; wait for it only when there is nothing else to do."""
        wait: float | None = 0
        if self.scheduler.is_idle:
            # Quiet moments go to the disk, one block at a time, and to passages that may be asked for.
            unsaved = self.opened.filler is not None and self.opened.filler.cache.save_next()
            wait = 0 if len(self.warmer) else QUIET_S if unsaved else None
        while request := inbox.get(wait):
            wait = 0
            if request.method != "stream":
                self.batcher.drop_cancelled()  # so that what is told is true
                answer(self, request)
            elif not request.cancelled:
                self._accept(request)

    def _accept(self, request: Request) -> None:
        begin = time.process_time()
        with telling([request]):
            opened = self.opened
            job = prepared(
                request,
                self.model,
                most_reuse=opened.most_reuse,
                least_repair=opened.least_repair,
                **request.args,
            )
            job.cpu_s = time.process_time() - begin
            self.warmer.stop()
            self.batcher.accept(job)
