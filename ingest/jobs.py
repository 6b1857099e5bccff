"""What a run of ingestion tells while it goes on, and what it tells at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

STAGES = ("fetch", "parse", "embed", "write", "flush")
NAMED = 100  # of what was left out, as a job remembers it


@dataclass(frozen=True, slots=True)
class Planned:
    """The source was compared with the catalog. `waiting`: all to do, `resumed`: left by a killed run."""

    new: int
    changed: int
    gone: int
    unchanged: int
    waiting: int
    retried: int = 0
    resumed: int = 0
    regrouped: int = 0
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    """Chunks that the index had lost are in it again, from the catalog; `total`: all that it had lost."""

    chunks: int
    total: int
    tokens: int
    embed_s: float
    write_s: float


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document was fetched, read and cut into chunks; seconds of the clock, CPU seconds of the reading."""

    uri: str
    chunks: int
    size_bytes: int = 0
    fetch_s: float = 0.0
    parse_s: float = 0.0
    cpu_s: float = 0.0
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Only the looks of a document had changed, not its bytes."""

    uri: str


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Documents were found inside a document and wait."""

    uri: str
    parts: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some chunks of a document are in the index."""

    uri: str
    chunks: int
    tokens: int
    embed_s: float
    write_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Settled:
    """What the index holds of a document was made durable, in so many seconds of waiting for the disk."""

    uri: str
    flush_s: float


@dataclass(frozen=True, slots=True)
class Published:
    """A document answers from now on."""

    uri: str
    chunks: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document was set aside; `earlier`: by another run, and it did not change since."""

    uri: str
    reason: str
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a source could not be looked at or named, so that it is no document."""

    uri: str
    reason: str


Event = (
    Planned
    | Restored
    | Parsed
    | Unchanged
    | Enqueued
    | Embedded
    | Settled
    | Published
    | Quarantined
    | LeftOut
)
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run. `quarantined` also names what was set aside earlier and did not change.

    `left_out`: what its source could not list, with reasons; `restored`: chunks the index had lost;
    `waiting`: how many documents of the source wait in which paused job.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    retried: int = 0
    resumed: int = 0
    regrouped: int = 0
    parts: int = 0
    published: int = 0
    quarantined: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    waiting: tuple[tuple[str, int], ...] = ()
    restored: int = 0
    chunks: int = 0
    tokens: int = 0
    embed_s: float = 0.0
    seconds: float = 0.0
    job: str = ""
    stopped: str = ""
    bottleneck: str = ""

    def __str__(self) -> str:
        parts = [
            f"+{self.new} new",
            f"~{self.changed} changed",
            f"-{self.gone} gone",
            f"{self.unchanged} unchanged",
        ]
        also = ("regrouped", "resumed", "retried")
        parts += [f"{getattr(self, name)} {name}" for name in also if getattr(self, name)]
        parts += [f"{self.parts} found inside others"] if self.parts else []
        parts += [f"{self.restored} chunks put back into the index"] if self.restored else []
        for name, found in (("quarantined", self.quarantined), ("left out", self.left_out)):
            if found:
                reasons = sorted({reason for _, reason in found})
                shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
                parts.append(f"{len(found)} {name}: {shown}")
        return ", ".join(parts)


@dataclass
class Tally:
    """Adds up events into progress and a summary, and passes them on."""

    listener: Listener | None = None
    workers: int = 1
    clock: Callable[[], float] = time.monotonic
    planned: Planned = Planned(0, 0, 0, 0, 0)
    published: int = 0
    unchanged: int = 0
    parts: int = 0
    chunks: int = 0
    embedded: int = 0
    tokens: int = 0
    pages: int = 0
    bytes_read: int = 0
    cpu_s: float = 0.0
    vanished: int = 0
    restored: int = 0
    quarantined: dict[str, str] = field(default_factory=dict)
    earlier: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.clock()

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                self.planned = event
            case Restored():
                self.restored += event.chunks
                self._spent(embed=event.embed_s, write=event.write_s)
            case Parsed():
                self.bytes_read += event.size_bytes
                self.pages += event.pages
                self.cpu_s += event.cpu_s
                self._spent(fetch=event.fetch_s, parse=event.parse_s)
            case Embedded():
                self.embedded += event.chunks
                self.tokens += event.tokens
                self._spent(embed=event.embed_s, write=event.write_s)
            case Settled():
                self._spent(flush=event.flush_s)
            case Published():
                self.published += 1
                self.chunks += event.chunks
            case Unchanged():
                self.unchanged += 1
            case Enqueued():
                self.parts += event.parts
            case Quarantined():
                self.quarantined[event.uri] = event.reason
                self.earlier += event.earlier
            case LeftOut():
                self.left_out[event.uri] = event.reason
        if self.listener:
            self.listener(event)

    def go_on(self, progress: Mapping[str, Any]) -> None:
        """Count on from the progress that an earlier part of the same run had written down."""
        if not progress:
            return
        self.published, self.unchanged = progress["documents"], progress["unchanged"]
        self.parts, self.chunks, self.tokens = progress["parts"], progress["chunks"], progress["tokens"]
        self.embedded, self.pages = progress["chunks"], progress["pages"]
        self.bytes_read, self.cpu_s = progress["bytes"], progress["cpu_s"]
        self.stages |= progress["stages"]
        self.started = self.clock() - progress["seconds"]

    def cpu_of_all(self, cores: int) -> float:
        """CPU-seconds of parsers, of the embedder, which uses all cores, and of the index."""
        return self.cpu_s + self.stages["embed"] * cores + self.stages["write"]

    @property
    def done(self) -> int:
        """Documents that are through, well or not."""
        return self.published + self.unchanged + self.vanished + len(self.quarantined) - self.earlier

    @property
    def bottleneck(self) -> str:
        """The stage that is busiest, of what its workers could do; empty before there is one."""
        lanes = {"fetch": self.workers, "parse": self.workers, "embed": 1, "write": 1, "flush": 1}
        busy = {stage: seconds / lanes[stage] for stage, seconds in self.stages.items()}
        stage = max(busy, key=lambda name: busy[name])
        return stage if busy[stage] > 0 else ""

    def progress(self, waiting: int, waiting_bytes: int) -> dict[str, Any]:
        """How far the run is, as JSON values. `eta_s` None: nothing is done yet that could tell."""
        elapsed = self.clock() - self.started
        return {
            "documents": self.published,
            "unchanged": self.unchanged,
            "quarantined": len(self.quarantined),
            "left_out": dict(islice(self.left_out.items(), NAMED)),
            "restored": self.restored,
            "parts": self.parts,
            "chunks": self.chunks,
            "tokens": self.tokens,
            "pages": self.pages,
            "bytes": self.bytes_read,
            "cpu_s": round(self.cpu_s, 3),
            "seconds": round(elapsed, 3),
            "stages": {stage: round(seconds, 3) for stage, seconds in self.stages.items()},
            "workers": self.workers,
            "bottleneck": self.bottleneck,
            "waiting": waiting,
            "waiting_bytes": waiting_bytes,
            "eta_s": self._eta(elapsed, waiting, waiting_bytes),
        }

    def summary(self, seconds: float, *, job: str = "", stopped: str = "") -> Summary:
        planned = self.planned
        return Summary(
            new=planned.new,
            changed=planned.changed - min(self.unchanged, planned.changed),
            gone=planned.gone + self.vanished,
            unchanged=planned.unchanged + min(self.unchanged, planned.changed),
            retried=planned.retried,
            resumed=planned.resumed,
            regrouped=planned.regrouped,
            parts=self.parts,
            published=self.published,
            quarantined=tuple(sorted(self.quarantined.items())),
            left_out=tuple(sorted(self.left_out.items())),
            restored=self.restored,
            chunks=self.chunks,
            tokens=self.tokens,
            embed_s=self.stages["embed"],
            seconds=seconds,
            job=job,
            stopped=stopped,
            bottleneck=self.bottleneck,
        )

    def _spent(self, **seconds: float) -> None:
        for stage, spent in seconds.items():
            self.stages[stage] += spent

    def _eta(self, elapsed: float, waiting: int, waiting_bytes: int) -> float | None:
        """By bytes where their number is known, since documents differ in size; else by documents."""
        if self.bytes_read and waiting_bytes:
            return round(elapsed * waiting_bytes / self.bytes_read, 1)
        return round(elapsed * waiting / self.done, 1) if self.done else None
