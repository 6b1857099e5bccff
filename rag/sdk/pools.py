"""Connections to one server, a pool for each event loop: one works only on the loop it was opened on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

import httpx


class Pools:
    """Pools of connections, opened as loops need them."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._first: httpx.AsyncClient | None = make()  # certificates are read here, not while a loop waits

    def here(self) -> httpx.AsyncClient:
        """The pool of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if (pool := self._pools.get(loop)) is None:
                pool, self._first = self._first or self._make(), None
                self._pools[loop] = pool
        return pool

    async def close(self) -> None:
        """Close the pool of the running loop; those of loops that have ended went with them."""
        await self.here().aclose()
