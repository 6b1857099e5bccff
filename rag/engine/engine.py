"""The service in the engine child: schedule, decode, sample, deliver, until nobody is connected."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.child import Inbox, Request, answer
from rag.engine.devices import offload
from rag.engine.generator import Reuse
from rag.engine.job import Job, Logits, prepared
from rag.engine.kv import gate
from rag.engine.kv.cache import KvCache, fingerprint
from rag.engine.kv.fill import Filler, plain
from rag.engine.kv.probe import probe
from rag.engine.model import MOST_DRAFTED, Model
from rag.engine.pacing import Pace
from rag.engine.queue import WaitingLine
from rag.engine.scheduler import Limits, Scheduler
from rag.engine.sequence import Sequence, Share
from rag.engine.speculation import best_length
from rag.engine.tuning import tuned
from rag.errors import Cancelled, DecodeError, ModelError, RagError
from rag.models.abilities import abilities
from rag.models.check import choose
from rag.models.check import fingerprint as build_of
from rag.models.header import read_header
from rag.models.lockfile import entry, locate
from rag.models.verification import verify
from rag.settings import EngineSettings

QUIET_S = 0.05  # how long nothing must come in before KV is written to disk


class EngineService:
    """Many streams from one frozen model. One thread owns the model and runs the loop."""

    methods = ("stream", "count", "info")
    ranks = {"stream": 1}  # counting must not wait behind a burst of prompts

    def __init__(self, home: str, engine: dict[str, Any]) -> None:
        settings = EngineSettings(**engine)
        self.entry = entry(settings.model, Path(home))
        path = locate(self.entry, Path(home))
        verify(path, self.entry)
        self.flags = choose(self.entry, path, Path(home))
        self.tuning = tuned(
            self.entry, path, Path(home), settings, use_extra_bufts=self.flags.use_extra_bufts
        )
        self.header = read_header(path)
        self.abilities = abilities(self.header)
        if not self.abilities.generates:
            raise ModelError(f"{path}: {self.abilities.reason}")
        cells = settings.context * settings.slots
        self.offload = offload(self.header, settings.gpu_layers, cells=cells)
        self.model = Model(
            path,
            context=settings.context,
            slots=settings.slots,
            micro_batch=self.tuning.micro_batch,
            threads=self.tuning.threads,
            batch_threads=self.tuning.batch_threads,
            flash_attention=self.tuning.flash_attention,
            gpu_layers=self.offload.layers,
            use_extra_bufts=self.flags.use_extra_bufts,
        )
        self.pace = Pace()
        if self.tuning.is_measured:
            self.pace = Pace(
                decode_ms=self.tuning.step_ms(1), token_ms=max(0.01, self.tuning.prefill_ms_per_token)
            )
        line = WaitingLine(max_requests=settings.max_queue, max_tokens=settings.max_queue_tokens)
        limits = Limits(settings.slots, self.model.context, self.tuning.micro_batch, settings.step_target_ms)
        self.scheduler = Scheduler(limits, line, self.pace)
        self.lookup = settings.lookup and self.abilities.can_trim
        self.steps, self.steps_s, self.native_s = 0, 0.0, 0.0
        self._jobs: dict[Sequence, Job] = {}
        self.facts = probe(self.model, self.abilities, self.header.rope.factors)
        self.filler = self._filler(Path(home), settings)
        self.most_reuse = self._most_reuse(Path(home), settings)

    def run(self, inbox: Inbox) -> None:
        """The loop of the main thread."""
        while not inbox.closed:
            self._receive(inbox)
            self._drop_cancelled()
            self._admit()
            self._resume_the_paused()
            self._close_gap()
            self._step()

    def close(self) -> None:
        if self.filler:
            self.filler.cache.close()
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
            "threads": self.tuning.threads,
            "tuning": self.tuning.note,
            "extra_bufts": self.flags.use_extra_bufts,
            "note": self.flags.note,
            "offload": self.offload.note,
            "active": len(self.scheduler.running),
            "waiting": len(self.scheduler.line),
            "steps": self.steps,
            "steps_s": self.steps_s,
            "native_s": self.native_s,
            "step_ms": round(self.pace.step_ms(1), 1),
            "prefill_token_ms": round(self.pace.prefill_ms, 2),
            "kv": self.filler.cache.describe() if self.filler else None,
            "reuse": self.most_reuse,
            "reuse_note": self.facts.note,
            **self.model.describe(),
        }

    def _most_reuse(self, home: Path, settings: EngineSettings) -> Reuse:
        """What the settings, the model and its gate allow."""
        if self.filler is None or settings.reuse == "off":
            return Reuse.OFF
        if settings.reuse == "exact" or self.facts.rope is None:
            return Reuse.EXACT
        proven = settings.unproven_reuse or gate.passed(home, self.filler.cache.fingerprint)
        return Reuse.APPROXIMATE if proven else Reuse.EXACT

    def _filler(self, home: Path, settings: EngineSettings) -> Filler | None:
        if self.facts.shape is None:
            return None
        build = build_of(self.entry)
        cache = KvCache(
            home / "kv",
            fingerprint(self.entry.sha256, build, self.facts.shape, self.facts.rope, self.flags),
            memory_bytes=settings.kv_memory_bytes,
            disk_bytes=settings.kv_disk_bytes,
        )
        cache.shape = self.facts.shape
        return Filler(self.model, cache, self.facts.rope)

    def _receive(self, inbox: Inbox) -> None:
        wait: float | None = 0
        if self.scheduler.is_idle:
            # Quiet moments go to the disk, one block at a time.
            unsaved = self.filler is not None and self.filler.cache.save_next()
            wait = QUIET_S if unsaved else None
        while request := inbox.get(wait):
            wait = 0
            if request.method != "stream":
                self._drop_cancelled()  # so that what is told is true
                answer(self, request)
            elif not request.cancelled:
                self._accept(request)

    def _accept(self, request: Request) -> None:
        begin = time.process_time()
        try:
            accepted = prepared(request, self.model, most_reuse=self.most_reuse, **request.args)
            try:
                self.scheduler.submit(accepted.sequence)
            except RagError:
                accepted.sampler.close()
                raise
        except RagError as error:
            request.fail(error)
        except Exception as error:  # the worker loop: recorded, and the caller gets it
            print(f"stream: {type(error).__name__}: {error}", file=sys.stderr)
            request.fail(error)
        else:
            accepted.cpu_s = time.process_time() - begin
            self._jobs[accepted.sequence] = accepted
            # At once, so that a burst fills the slots before it counts as a queue.
            self._admit()

    def _admit(self) -> None:
        for sequence in self.scheduler.admit():
            self._jobs[sequence].started = time.monotonic()
            if self.filler:
                sequence.fill = self.filler.fill(sequence, list(self.scheduler.running))
            else:
                sequence.fill = plain(sequence)
            self._resume(sequence)

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._jobs.values() if job.request.cancelled]:
            self._fail(job, Cancelled("the caller went away"))

    def _resume_the_paused(self) -> None:
        for sequence in list(self.scheduler.running):
            if sequence.span is None and not sequence.is_decoding:
                self._resume(sequence)

    def _resume(self, sequence: Sequence) -> None:
        """Let a sequence do what lies between its spans; if what was kept cannot be used, compute it all."""
        begin = time.process_time()
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
        self._jobs[sequence].cpu_s += time.process_time() - begin

    def _close_gap(self) -> None:
        if move := self.scheduler.gap():
            source, target = move
            [sequence] = [one for one in self.scheduler.running if one.slot == source]
            if sequence.computed:
                self.model.restore(target, self.model.save(source))
                self.model.trim(source, 0)
            sequence.slot = target

    def _step(self) -> None:
        self._draft()
        shares = self.scheduler.plan()
        if not shares:
            return
        begin, now = time.process_time(), time.perf_counter()
        together = [share for share in shares if not share.alone]
        finished: list[Job] = []
        for group in [together, *([share] for share in shares if share.alone)]:
            for share, rows in self._decode(group) if group else ():
                finished += self._advance(share, rows)
        self._note(shares, (time.perf_counter() - now) * 1e3, time.process_time() - begin)
        for job in finished:
            job.deliver()
            if job.reason:
                self._finish(job)
        self.steps += 1
        self.steps_s += time.perf_counter() - now

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
            length = best_length([lookup.chance for lookup in lookups if lookup], longest, self.pace)
            for sequence, draft in zip(decoding, drafts, strict=True):
                sequence.draft = draft[:length]

    def _decode(self, shares: list[Share]) -> Iterable[tuple[Share, list[Logits]]]:
        """Compute a step; when llama.cpp refuses it, every share alone, so that only the bad one fails."""
        try:
            begin = time.perf_counter()
            rows = self.model.decode(shares)
            self.native_s += time.perf_counter() - begin
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
        except RagError as error:
            self._fail(job, error)
            return []
        if wrong := len(rows) - 1 - right:
            sequence.computed -= wrong
            self.model.trim(sequence.slot, sequence.computed)
        if sequence.span:
            job.deliver()  # the first word goes out before its KV is kept
            self._resume(sequence)
        return [job]

    def _note(self, shares: list[Share], ms: float, cpu_s: float) -> None:
        """Learn from a step what steps cost, and let each sequence pay for its part, by tokens."""
        total = sum(len(share.tokens) for share in shares)
        decoding = sum(len(share.tokens) for share in shares if share.outputs == len(share.tokens))
        if not any(share.alone for share in shares):
            self.pace.note(decoding=decoding, prefilling=total - decoding, ms=ms)
        for share in shares:
            if job := self._job_or_none(share.slot):
                job.cpu_s += cpu_s * len(share.tokens) / total

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

    def _fail(self, job: Job, error: RagError) -> None:
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
