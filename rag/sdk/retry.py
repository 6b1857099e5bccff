"""When a request is sent again, and how long to wait before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_WISH_S = 60.0  # a server that wants more patience than this gets its error told at once
TRY_AGAIN = (429, 503)


@dataclass(frozen=True, slots=True)
class Retry:
    """At most `times` more tries, each after a random pause below a doubling bound (full jitter).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    times: int = 2
    draw: Callable[[], float] = random.random  # in [0, 1)

    def pause_s(
        self, tried: int, result: httpx.Response | httpx.HTTPError, *, repeatable: bool
    ) -> float | None:
        """Seconds to wait after try number `tried` (from 1) ended so; None: that is the result.

        A request that never reached the server is always sent again, any other only if it is `repeatable`.
        """
        if tried > self.times:
            return None
        wish_s = 0.0
        if isinstance(result, httpx.Response):
            if not repeatable or result.status_code not in TRY_AGAIN:
                return None
            wish_s = retry_after_s(result)
            if wish_s > LONGEST_WISH_S:
                return None
        elif not isinstance(result, httpx.ConnectError | httpx.ConnectTimeout) and not (
            repeatable and isinstance(result, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
        ):
            return None
        return wish_s + self.draw() * min(FIRST_PAUSE_S * 2.0 ** (tried - 1), LONGEST_PAUSE_S)


def retry_after_s(response: httpx.Response, clock: Callable[[], float] = time.time) -> float:
    """What Retry-After asks for in seconds, told as such or as a date; 0 where it says nothing."""
    text = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock())
    except ValueError:
        return 0.0


@dataclass(slots=True)
class Waits:
    """How long the requests of one task were held back before they were sent again."""

    seconds: float = 0.0

    @classmethod
    @contextmanager
    def counted(cls) -> Iterator[Waits]:
        """Count those of this task, and not of others that use the same client meanwhile."""
        waits = cls()
        token = _counting.set(waits)
        try:
            yield waits
        finally:
            _counting.reset(token)

    @staticmethod
    def add(seconds: float) -> None:
        """Another pause, if this task counts them."""
        if waits := _counting.get():
            waits.seconds += seconds


_counting: ContextVar[Waits | None] = ContextVar("waits", default=None)
