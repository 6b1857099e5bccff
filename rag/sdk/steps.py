"""What a verb is made of: a generator that yields a `Call` and is sent its reply, or yields a `Pause`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `repeatable`: to send it twice does no more than to send it once.

    `content` goes to httpx as it is: json, params, data, files. A `streamed` reply is handed out unread.
    """

    method: str
    path: str
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for so long."""

    seconds: float


Steps = Generator[Call | Pause, Any, T]


class Runs(Protocol):
    """Carries steps out."""

    def __call__(self, steps: Steps[T], /) -> T: ...


class Awaits(Protocol):
    """Carries steps out for code that awaits."""

    async def __call__(self, steps: Steps[T], /) -> T: ...


def safe(name: str) -> str:
    """An id as one part of a path."""
    return quote(name, safe="")
