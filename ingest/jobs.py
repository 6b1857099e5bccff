"""What a run of ingestion tells while it goes on, and what it tells at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document was read and cut into chunks."""

    uri: str
    chunks: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """Some chunks of a document are in the index."""

    uri: str
    chunks: int
    tokens: int
    embed_s: float


@dataclass(frozen=True, slots=True)
class Published:
    """A document answers from now on."""

    uri: str
    chunks: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document was set aside."""

    uri: str
    reason: str


Event = Planned | Parsed | Embedded | Published | Quarantined
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run. `quarantined` also names what was set aside earlier and did not change."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    retried: int = 0
    resumed: int = 0
    published: int = 0
    quarantined: tuple[tuple[str, str], ...] = ()
    chunks: int = 0
    tokens: int = 0
    embed_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [
            f"+{self.new} new",
            f"~{self.changed} changed",
            f"-{self.gone} gone",
            f"{self.unchanged} unchanged",
        ]
        parts += [f"{self.resumed} resumed"] if self.resumed else []
        parts += [f"{self.retried} retried"] if self.retried else []
        if self.quarantined:
            reasons = sorted({reason for _, reason in self.quarantined})
            shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
            parts.append(f"{len(self.quarantined)} quarantined: {shown}")
        return ", ".join(parts)


@dataclass
class Tally:
    """Adds up events into a summary and passes them on."""

    listener: Listener | None = None
    planned: Planned = Planned(0, 0, 0, 0, 0)
    published: int = 0
    chunks: int = 0
    tokens: int = 0
    embed_s: float = 0.0
    vanished: int = 0
    quarantined: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                self.planned = event
            case Embedded():
                self.tokens += event.tokens
                self.embed_s += event.embed_s
            case Published():
                self.published += 1
                self.chunks += event.chunks
            case Quarantined():
                self.quarantined[event.uri] = event.reason
            case Parsed():
                pass
        if self.listener:
            self.listener(event)

    def summary(self, seconds: float) -> Summary:
        return Summary(
            new=self.planned.new,
            changed=self.planned.changed,
            gone=self.planned.gone + self.vanished,
            unchanged=self.planned.unchanged,
            retried=self.planned.retried,
            resumed=self.planned.resumed,
            published=self.published,
            quarantined=tuple(sorted(self.quarantined.items())),
            chunks=self.chunks,
            tokens=self.tokens,
            embed_s=self.embed_s,
            seconds=seconds,
        )
