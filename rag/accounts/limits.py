"""Limits of a minute: token buckets for requests and for prompt tokens, of keys, tenants and addresses."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from rag.accounts.tenants import Quota
from rag.settings import LimitsSettings
from rag.types import Principal

MINUTE_S = 60.0
REMEMBERED = 20_000  # buckets; one that was not touched for longest is full again anyway


@dataclass(slots=True)
class Bucket:
    """Holds up to one minute's worth and fills steadily. What is charged afterwards may leave it in debt."""

    per_minute: int
    level: float
    at: float

    def fill(self, now: float) -> None:
        """Add what came in since it was last looked at."""
        gained = (now - self.at) * self.per_minute / MINUTE_S
        self.level, self.at = min(self.per_minute, self.level + gained), now

    def wait_s(self, amount: float) -> float:
        """Seconds until it holds this much; 0: it does."""
        return max(0.0, (amount - self.level) * MINUTE_S / self.per_minute)


@dataclass(slots=True)
class Allowance:
    """What one caller has left. `charge` is for whoever learns how many tokens a prompt had."""

    requests: list[Bucket] = field(default_factory=list)
    tokens: list[Bucket] = field(default_factory=list)

    def charge(self, tokens: int) -> None:
        """Take prompt tokens that were used. The next request waits for the debt, this one goes on."""
        for bucket in self.tokens:
            bucket.level -= tokens

    def headers(self) -> dict[str, str]:
        """What is left, in OpenAI's manner; of several limits the one that is reached first."""
        found = {}
        for name, buckets in (("requests", self.requests), ("tokens", self.tokens)):
            if buckets:
                tightest = min(buckets, key=lambda each: each.level)
                found[f"x-ratelimit-limit-{name}"] = str(tightest.per_minute)
                found[f"x-ratelimit-remaining-{name}"] = str(max(0, int(tightest.level)))
                found[f"x-ratelimit-reset-{name}"] = span(tightest.wait_s(tightest.per_minute))
        return found


class Buckets:
    """The buckets of one process, by what they belong to."""

    def __init__(self, settings: LimitsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, principal: Principal, quota: Quota) -> Allowance:
        """What this caller, and his tenant, have left."""
        ours = self._settings
        one, all_of_them = f"{principal.tenant}\n{principal.key or principal.user}", principal.tenant
        rates = (
            ("requests", one, ours.requests_per_minute),
            ("tenant requests", all_of_them, quota.requests_per_minute),
            ("tokens", one, ours.tokens_per_minute),
            ("tenant tokens", all_of_them, quota.tokens_per_minute),
        )
        found = Allowance()
        for kind, whose, per_minute in rates:
            if per_minute:
                where = found.tokens if kind.endswith("tokens") else found.requests
                where.append(self._bucket(kind, whose, per_minute))
        return found

    def refusals(self, address: str) -> Allowance:
        """What an address has left of requests that nobody vouches for."""
        per_minute = self._settings.refusals_per_minute
        return Allowance([self._bucket("refusals", address, per_minute)] if per_minute else [])

    def admit(self, allowance: Allowance) -> float:
        """Take one request; 0 when there was one left and no debt of tokens, else the seconds to wait."""
        with self._lock:
            now = self._clock()
            for bucket in (*allowance.requests, *allowance.tokens):
                bucket.fill(now)
            waits = [bucket.wait_s(1) for bucket in allowance.requests]
            waits += [bucket.wait_s(1) for bucket in allowance.tokens]
            if wait_s := max(waits, default=0.0):
                return wait_s
            for bucket in allowance.requests:
                bucket.level -= 1
            return 0.0

    def _bucket(self, kind: str, whose: str, per_minute: int) -> Bucket:
        with self._lock:
            found = self._buckets.get((kind, whose))
            if found is None or found.per_minute != per_minute:
                found = Bucket(per_minute, per_minute, self._clock())
                self._buckets[kind, whose] = found
            self._buckets.move_to_end((kind, whose))
            while len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
            return found


def span(seconds: float) -> str:
    """A time as OpenAI writes it: 120ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
