"""Jobs into tokens, one step after the other: who is admitted, what is computed, what is said."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rag.child import emit_together
from rag.engine.job import Job, Logits
from rag.engine.kv.fill import Filler, plain
from rag.engine.model import MOST_DRAFTED, Model
from rag.engine.scheduler import Scheduler
from rag.engine.sequence import Sequence, Share
from rag.engine.speculation import best_length
from rag.errors import Cancelled, DecodeError, RagError


@dataclass(slots=True)
class Clock:
    """Steps so far, the seconds they took, and those of them inside llama.cpp."""

    steps: int = 0
    steps_s: float = 0.0
    native_s: float = 0.0


class Batcher:
    """Continuous batching of jobs over one model. `lookup`: guess quotes from the passages."""

    def __init__(self, model: Model, scheduler: Scheduler, filler: Filler | None, *, lookup: bool) -> None:
        self.model, self.scheduler, self.filler, self.lookup = model, scheduler, filler, lookup
        self.clock = Clock()
        self._jobs: dict[Sequence, Job] = {}
        self._resumed_s = 0.0

    def accept(self, job: Job) -> None:
        """Queue a job. Raises ContextTooLong, BadRequest or Overloaded, and then nothing is left of it."""
        try:
            self.scheduler.submit(job.sequence)
        except RagError:
            job.sampler.close()
            raise
        self._jobs[job.sequence] = job
        sequence, running = job.sequence, self.scheduler.running
        sequence.fill = self.filler.fill(sequence, running) if self.filler else plain(sequence)
        # At once, so that a burst fills the slots before it counts as a queue.
        self.admit()

    def step(self) -> None:
        """Everything that is due now, and one step of the model."""
        self.drop_cancelled()
        self.admit()
        self._resume_the_paused()
        self._close_gap()
        self._compute()

    def drop_cancelled(self) -> None:
        """Free what nobody waits for any more."""
        for job in [job for job in self._jobs.values() if job.request.cancelled]:
            self._fail(job, Cancelled("the caller went away"))

    def admit(self) -> None:
        """Give free slots to those whose turn it is."""
        # Again: who was held back by one of these may find now that nothing is left to wait for.
        while admitted := self.scheduler.admit():
            for sequence in admitted:
                self._jobs[sequence].started = time.monotonic()
                self._resume(sequence)

    def _resume_the_paused(self) -> None:
        for sequence in list(self.scheduler.running):
            if sequence.span is None and not sequence.is_decoding:
                self._resume(sequence)

    def _resume(self, sequence: Sequence) -> None:
        """Let a sequence do what lies between its spans; if what was kept cannot be used, compute it all."""
        begin, now = time.process_time(), time.perf_counter()
        try:
            sequence.resume()
        except RagError as error:
            if sequence.is_decoding:
                print(f"KV was not kept: {error}", file=sys.stderr)
                sequence.span = None
            else:
                self.model.trim(sequence.slot, 0)
                sequence.computed = sequence.cached = sequence.approximate = 0
                sequence.fill = plain(sequence)
                sequence.resume()
        job, passed = self._jobs[sequence], time.perf_counter() - now
        job.cpu_s += time.process_time() - begin
        job.slot_s += passed
        self._resumed_s += passed
        job.prefill_slot_s += 0.0 if sequence.is_decoding else passed

    def _close_gap(self) -> None:
        if move := self.scheduler.gap():
            source, target = move
            [sequence] = [one for one in self.scheduler.running if one.slot == source]
            if sequence.computed:
                self.model.restore(target, self.model.save(source))
                self.model.trim(source, 0)
            sequence.slot = target

    def _compute(self) -> None:
        self._draft()
        shares = self.scheduler.plan()
        if not shares:
            return
        begin, now, resumed_s = time.process_time(), time.perf_counter(), self._resumed_s
        together = [share for share in shares if not share.alone]
        finished: list[Job] = []
        for group in [together, *([share] for share in shares if share.alone)]:
            for share, rows in self._decode(group) if group else ():
                finished += self._advance(share, rows)
        passed_s = time.perf_counter() - now
        self._note(shares, passed_s * 1e3, time.process_time() - begin)
        # What lies between the spans of one sequence is on its own bill already.
        self._bill(shares, passed_s - (self._resumed_s - resumed_s))
        self._deliver(finished)
        for job in finished:
            if job.reason:
                self._finish(job)
        self.clock.steps += 1
        self.clock.steps_s += time.perf_counter() - now

    def _draft(self) -> None:
        """Guess what the readers' answers say next, as far as the batch has compute to spare."""
        decoding = [sequence for sequence in self.scheduler.running if sequence.is_decoding]
        for sequence in decoding:
            sequence.draft = []
        lookups = [self._jobs[sequence].lookup for sequence in decoding]
        if not self.lookup or not decoding or None in lookups:
            return
        drafts = []
        for sequence, lookup in zip(decoding, lookups, strict=True):
            room = sequence.max_tokens - len(sequence.generated) - 1
            assert lookup is not None
            drafts.append(lookup.draft(sequence.generated, min(MOST_DRAFTED, room)))
        longest = min(map(len, drafts))
        if longest:
            length = best_length(
                [lookup.chance for lookup in lookups if lookup], longest, self.scheduler.pace
            )
            for sequence, draft in zip(decoding, drafts, strict=True):
                sequence.draft = draft[:length]

    def _decode(self, shares: list[Share]) -> Iterable[tuple[Share, list[Logits]]]:
        """Compute a step; when llama.cpp refuses it, every share alone, so that only the bad one fails."""
        try:
            begin = time.perf_counter()
            rows = self.model.decode(shares)
            self.clock.native_s += time.perf_counter() - begin
            return list(zip(shares, rows, strict=True))
        except DecodeError as error:
            if len(shares) == 1:
                self._fail(self._job_in(shares[0].slot), error)
                return []
            computed: list[tuple[Share, list[Logits]]] = []
            for share in shares:
                self.model.trim(share.slot, share.start)
                for one, views in self._decode([share]):
                    # The views are overwritten by the next decode.
                    computed.append((one, [row.copy() for row in views]))
            return computed

    def _advance(self, share: Share, rows: list[Logits]) -> list[Job]:
        """Note what was computed and draw what can be drawn; the job, if it has something to say."""
        job = self._job_in(share.slot)
        sequence = job.sequence
        sequence.computed += len(share.tokens)
        if sequence.span and sequence.missing:
            return []
        if not rows:
            self._resume(sequence)
            return []
        try:
            right = job.take(self.model, rows)
        except Exception as error:  # the worker loop: recorded, and nobody else's answer is lost by it
            if not isinstance(error, RagError):
                print(f"stream: {type(error).__name__}: {error}", file=sys.stderr)
            self._fail(job, error)
            return []
        if wrong := len(rows) - 1 - right:
            sequence.computed -= wrong
            self.model.trim(sequence.slot, sequence.computed)
        if sequence.span:
            self._deliver([job])  # the first word goes out before its KV is kept
            self._resume(sequence)
        return [job]

    def _note(self, shares: list[Share], ms: float, cpu_s: float) -> None:
        """Learn from a step what steps cost, and let each sequence pay for its part, by tokens."""
        total = sum(len(share.tokens) for share in shares)
        decoding = sum(len(share.tokens) for share in shares if share.outputs == len(share.tokens))
        if not any(share.alone for share in shares):
            self.scheduler.pace.note(decoding=decoding, prefilling=total - decoding, ms=ms)
        for share in shares:
            if job := self._job_or_none(share.slot):
                job.cpu_s += cpu_s * len(share.tokens) / total

    def _bill(self, shares: list[Share], wall_s: float) -> None:
        """Divide the wall time of a step among its sequences, by tokens."""
        total = sum(len(share.tokens) for share in shares)
        for share in shares:
            if job := self._job_or_none(share.slot):
                part_s = wall_s * len(share.tokens) / total
                job.slot_s += part_s
                job.prefill_slot_s += part_s if share.outputs < len(share.tokens) else 0.0
                job.steps += 1
                job.company += len(shares)

    def _deliver(self, jobs: Iterable[Job]) -> None:
        emit_together((job.request, event) for job in jobs if (event := job.news()))

    def _finish(self, job: Job) -> None:
        sequence = job.sequence
        if sequence.terms.park and self.filler:
            known = [*sequence.prompt, *sequence.generated][: sequence.computed]
            if node := self.filler.keep(sequence, known):
                self.filler.cache.park(node)
        bill = asdict(job.bill())
        self._leave(job)
        job.request.emit(bill)
        job.request.finish()

    def _fail(self, job: Job, error: Exception) -> None:
        self._leave(job)
        job.request.fail(error)

    def _leave(self, job: Job) -> None:
        del self._jobs[job.sequence]
        is_placed = job.sequence in self.scheduler.running
        self.scheduler.release(job.sequence)
        job.sampler.close()
        if is_placed:
            self.model.trim(job.sequence.slot, 0)

    def _job_in(self, slot: int) -> Job:
        job = self._job_or_none(slot)
        assert job is not None
        return job

    def _job_or_none(self, slot: int) -> Job | None:
        for sequence in self.scheduler.running:
            if sequence.slot == slot:
                return self._jobs[sequence]
        return None
