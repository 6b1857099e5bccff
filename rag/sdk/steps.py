"""What a verb is made of: a generator that yields a `Call` and is sent its reply, or yields a `Pause`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar
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


class Page(Protocol):
    """One page of a list; `next`: what to send as `after` for the one behind it."""

    @property
    def next(self) -> str | int | None: ...

    @classmethod
    def model_validate(cls, reply: Any, /) -> Self: ...


P = TypeVar("P", bound=Page)


class Runs(Protocol):
    """Carries steps out."""

    def __call__(self, steps: Steps[T], /) -> T: ...


class Awaits(Protocol):
    """Carries steps out for code that awaits."""

    async def __call__(self, steps: Steps[T], /) -> T: ...


def pages(path: str, kind: type[P], params: Mapping[str, Any]) -> Steps[list[P]]:
    """GET a list page after page, from the first to the one without a `next`; `kind`: what each page is."""
    found: list[P] = []
    while True:
        found.append(kind.model_validate((yield Call("GET", path, {"params": params}))))
        if found[-1].next is None:
            return found
        params = {**params, "after": found[-1].next}


def safe(name: str) -> str:
    """An id as one part of a path."""
    return quote(name, safe="")
