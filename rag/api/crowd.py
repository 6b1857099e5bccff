"""Too many at once, and readers that do not read: both are let go before they cost the others anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.api.problems import respond
from rag.errors import Busy, RateLimited
from rag.settings import ServerSettings
from rag.types import Principal

logger = logging.getLogger("rag.api")
READING = ("GET", "HEAD", "OPTIONS")
READS = 4  # for each request that may be under way: they take no model, and a page follows its jobs for hours
FEWEST_READS = 64  # so that a page finds all of its parts on a server for one request at a time
SHARES = 8  # one caller may hold one of so many parts of all reads


class Crowd:
    """Turns requests away at once when as many as allowed are under way; drops who takes no bytes for long.

    Reads are counted by `Readers`, behind the gate.
    """

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings
        self.inside = 0
        self.door = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] in READING:
            await self._answer(scope, receive, send)
            return
        if self.inside >= self.settings.max_requests:
            most = self.settings.max_requests
            refusal = respond(Busy(f"{most} requests are under way, the most at once; try again in a second"))
            await refusal(scope, receive, send)
            return

        self.inside += 1
        try:
            # One begins at each turn of the loop: between two of them the others hear that it is full.
            async with self.door:
                await asyncio.sleep(0)
            await self._answer(scope, receive, send)
        finally:
            self.inside -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with a request until it is answered, or its reader takes nothing for too long."""
        late = False

        async def patient(message: Message) -> None:
            nonlocal late
            try:
                async with asyncio.timeout(self.settings.send_timeout_s):
                    await send(message)
            except TimeoutError:
                late = True
                raise

        try:
            await self.app(scope, receive, patient)
        except TimeoutError:
            if not late:
                raise
            # The server closes the connection of a response that was not finished.
            logger.info("a reader was dropped")


class Readers:
    """Counts reads under way, in all and of each caller: one that follows a job or takes a file may last."""

    def __init__(self, settings: ServerSettings) -> None:
        self.most = max(FEWEST_READS, READS * settings.max_requests)
        self.each = self.most // SHARES
        self.inside: Counter[tuple[str, str]] = Counter()

    @contextlib.contextmanager
    def counted(self, caller: Principal) -> Iterator[None]:
        """While this is open a read of the caller's counts. Raises RateLimited, Busy."""
        who = caller.tenant, caller.user or caller.key
        # The owner is whoever is on this machine: there all of them may be his.
        if any(who[1:]) and self.inside[who] >= self.each:
            raise RateLimited(f"you have {self.each} reads under way, the most for one caller; end some")
        if self.inside.total() >= self.most:
            raise Busy(f"{self.most} reads are under way, the most at once; try again in a second")
        self.inside[who] += 1
        try:
            yield
        finally:
            self.inside[who] -= 1
            if not self.inside[who]:
                del self.inside[who]
