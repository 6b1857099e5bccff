"""The service in the engine child: schedule, decode, sample, deliver, until nobody is connected."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.child import Inbox, Request, answer
from rag.engine.cores import cores
from rag.engine.generator import Finished, Sampling
from rag.engine.model import Model
from rag.engine.sampling import Sampler
from rag.engine.scheduler import Scheduler
from rag.engine.sequence import Move, Sequence, Share, Trim
from rag.engine.transcript import Transcript
from rag.errors import Cancelled, ContextTooLong, DecodeError, RagError
from rag.models.check import choose
from rag.models.lockfile import entry, locate
from rag.models.verification import verify
from rag.settings import EngineSettings
from rag.types import Usage

Logits = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class Job:
    """One request on its way."""

    request: Request
    sequence: Sequence
    sampler: Sampler
    transcript: Transcript
    cpu_s: float
    started: float = 0.0
    first_token: float = 0.0


class EngineService:
    """Many streams from one frozen model. One thread owns the model and runs the loop."""

    methods = ("stream", "count", "info")
    ranks = {"stream": 1}  # counting must not wait behind a burst of prompts

    def __init__(self, home: str, engine: dict[str, Any]) -> None:
        settings = EngineSettings(**engine)
        self.entry = entry(settings.model)
        path = locate(self.entry, Path(home))
        verify(path, self.entry)
        self.flags = choose(self.entry, path, Path(home))
        self.threads = settings.threads or cores()
        self.model = Model(
            path,
            n_ctx=settings.n_ctx,
            batch_tokens=settings.batch_tokens,
            max_sequences=settings.max_sequences,
            threads=self.threads,
            gpu_layers=settings.gpu_layers,
            use_extra_bufts=self.flags.use_extra_bufts,
        )
        self._longest_piece = self.model.longest_piece
        self.scheduler = Scheduler(
            cells=self.model.cells,
            context=self.model.context,
            slots=settings.max_sequences,
            batch_tokens=settings.batch_tokens,
            max_queue=settings.max_queue,
        )
        self._jobs: dict[Sequence, Job] = {}

    def run(self, inbox: Inbox) -> None:
        """The loop of the main thread."""
        while not inbox.closed:
            self._receive(inbox)
            self._drop_cancelled()
            self._make(self.scheduler.admit())
            self._step()

    def close(self) -> None:
        self.model.close()

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text, read as ordinary text."""
        return [len(self.model.tokens(text, control=False)) for text in texts]

    def info(self) -> dict[str, Any]:
        """What runs, and how busy it is."""
        return {
            "name": self.entry.name,
            "sha256": self.entry.sha256,
            "quantisation": self.entry.quantisation,
            "licence": self.entry.licence,
            "threads": self.threads,
            "extra_bufts": self.flags.use_extra_bufts,
            "note": self.flags.note,
            "active": len(self.scheduler.running),
            "waiting": len(self.scheduler.waiting),
            **self.model.describe(),
        }

    def _receive(self, inbox: Inbox) -> None:
        wait: float | None = None if self.scheduler.is_idle else 0
        while request := inbox.get(wait):
            wait = 0
            if request.method != "stream":
                answer(self, request)
            elif not request.cancelled:
                self._accept(request)

    def _accept(self, request: Request) -> None:
        begin = time.process_time()
        try:
            job = self._job(request, **request.args)
            self.scheduler.submit(job.sequence)
        except RagError as error:
            request.fail(error)
        except Exception as error:  # the worker loop: recorded, and the caller gets it
            print(f"stream: {type(error).__name__}: {error}", file=sys.stderr)
            request.fail(error)
        else:
            job.cpu_s = time.process_time() - begin
            self._jobs[job.sequence] = job
            # At once, so that a burst fills the slots before it counts as a queue.
            self._make(self.scheduler.admit())

    def _job(
        self,
        request: Request,
        prompt: list[tuple[str, bool, bool]],
        sampling: dict[str, Any],
        terms: dict[str, Any],
    ) -> Job:
        options = Sampling(**{**sampling, "stop": tuple(sampling.get("stop", ()))})
        sampler = Sampler(options)
        # A book pasted into a question is refused before it is tokenised.
        fewest = sum(len(text) for text, _, _ in prompt) // self._longest_piece
        if fewest > self.model.context:
            raise ContextTooLong(
                f"the prompt has at least {fewest} tokens, the context holds {self.model.context}; shorten it"
            )
        tokens = [token for text, control, _ in prompt for token in self.model.tokens(text, control=control)]
        return Job(
            request,
            Sequence(tokens, options.max_tokens, terms["namespace"]),
            sampler,
            Transcript(options.stop),
            0.0,
        )

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._jobs.values() if job.request.cancelled]:
            self._fail(job, Cancelled("the caller went away"), keep=True)

    def _step(self) -> None:
        shares = self.scheduler.plan()
        if not shares:
            return
        begin, now = time.process_time(), time.monotonic()
        for share in shares:
            job = self._job_in(share.slot)
            job.started = job.started or now
        computed = self._decode(shares)
        drawn = [(job, token) for share, logits in computed for job, token in self._draw(share, logits)]
        # Each sequence pays for its part of the step, by tokens.
        cpu_per_token = (time.process_time() - begin) / sum(len(share.tokens) for share in shares)
        for share in shares:
            if payer := self._job_or_none(share.slot):
                payer.cpu_s += cpu_per_token * len(share.tokens)
        for job, token in drawn:
            self._deliver(job, token)

    def _decode(self, shares: list[Share]) -> Iterable[tuple[Share, Logits | None]]:
        """Compute a step; when llama.cpp refuses it, every share alone, so that only the bad one fails."""
        try:
            outputs = iter(self.model.decode(shares))
            return [(share, next(outputs) if share.output else None) for share in shares]
        except DecodeError as error:
            if len(shares) == 1:
                self._fail(self._job_in(shares[0].slot), error)
                return []
            computed: list[tuple[Share, Logits | None]] = []
            for share in shares:
                self.model.move(Trim(share.slot, share.start))
                for one, logits in self._decode([share]):
                    # The view is overwritten by the next decode.
                    computed.append((one, None if logits is None else logits.copy()))
            return computed

    def _draw(self, share: Share, logits: Logits | None) -> Iterable[tuple[Job, int]]:
        job = self._jobs[self.scheduler.advance(share)]
        if logits is None:
            return []
        try:
            token = job.sampler.draw(logits, job.sequence.generated)
        except RagError as error:
            self._fail(job, error)
            return []
        job.first_token = job.first_token or time.monotonic()
        return [(job, token)]

    def _deliver(self, job: Job, token: int) -> None:
        reason: Literal["stop", "length"] | None = None
        if self.model.ends(token):
            reason, text = "stop", job.transcript.finish()
        else:
            job.sequence.generated.append(token)
            text = job.transcript.push(self.model.piece(token))
            if job.transcript.stopped:
                reason = "stop"
            elif len(job.sequence.generated) >= job.sequence.max_tokens:
                reason, text = "length", text + job.transcript.finish()
        if text:
            job.request.emit({"text": text})
        if reason:
            self._finish(job, reason)

    def _finish(self, job: Job, reason: Literal["stop", "length"]) -> None:
        sequence = job.sequence
        finished = Finished(
            reason=reason,
            usage=Usage(len(sequence.prompt), len(sequence.generated), sequence.cached),
            prefill_s=job.first_token - job.started,
            decode_s=time.monotonic() - job.first_token,
            cpu_s=job.cpu_s,
        )
        self._leave(job, keep=True)
        job.request.emit(asdict(finished))
        job.request.finish()

    def _fail(self, job: Job, error: RagError, *, keep: bool = False) -> None:
        self._leave(job, keep=keep)
        job.request.fail(error)

    def _leave(self, job: Job, *, keep: bool) -> None:
        del self._jobs[job.sequence]
        self._make(self.scheduler.release(job.sequence, keep=keep))

    def _make(self, moves: list[Move]) -> None:
        for move in moves:
            self.model.move(move)

    def _job_in(self, slot: int) -> Job:
        job = self._job_or_none(slot)
        assert job is not None
        return job

    def _job_or_none(self, slot: int) -> Job | None:
        sequence = self.scheduler.slots[slot].sequence
        return self._jobs[sequence] if sequence else None
