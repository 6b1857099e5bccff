"""Rate limits at the door: who still has requests and tokens left, and what a reply says about it."""

from __future__ import annotations

import asyncio
import math
import time

from starlette.responses import Response

from rag.accounts.limits import Allowance, Buckets
from rag.accounts.tenants import Quota, Tenants
from rag.api.problems import respond
from rag.errors import RateLimited
from rag.types import Principal

QUOTA_FRESH_S = 5.0


class Turnstile:
    """Counts requests of one process. A route that knows its prompt calls `request.state.limits.charge`."""

    def __init__(self, buckets: Buckets, tenants: Tenants) -> None:
        self._buckets, self._tenants = buckets, tenants
        self._quotas: dict[str, tuple[float, Quota]] = {}

    async def admit(self, principal: Principal) -> tuple[Allowance, float]:
        """What the caller has left, and the seconds he has to wait; 0: he may pass."""
        if not (principal.user or principal.key):
            return Allowance(), 0.0  # the owner, on this machine
        allowance = self._buckets.of(principal, await self._quota(principal.tenant))
        return allowance, self._buckets.admit(allowance)

    def admit_stranger(self, address: str) -> float:
        """The seconds that an address has to wait until it is told again that it is not let in."""
        return self._buckets.admit(self._buckets.refusals(address))

    async def _quota(self, tenant: str) -> Quota:
        read_at, quota = self._quotas.get(tenant, (-math.inf, Quota()))
        if time.monotonic() - read_at > QUOTA_FRESH_S:
            quota = await asyncio.to_thread(self._tenants.quota, tenant)
            self._quotas[tenant] = time.monotonic(), quota
        return quota


def too_many(allowance: Allowance, wait_s: float) -> Response:
    """The reply to a request that came too early, with the time to come back."""
    seconds = max(1, math.ceil(wait_s))
    reply = respond(RateLimited(f"more than your limit of a minute allows; come back in {seconds} s"))
    reply.headers["Retry-After"] = str(seconds)
    reply.headers.update(allowance.headers())
    return reply
