"""Too many at once, and readers that do not read: both are let go before they cost the others anything."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.api.problems import respond
from rag.errors import Busy
from rag.settings import ServerSettings

logger = logging.getLogger("rag.api")


class Crowd:
    """Turns requests away at once when as many as allowed are under way; drops who takes no bytes for long.

    Reads are not counted: they take no model and no index, and a page follows its jobs for hours.
    """

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings
        self.inside = 0
        self.door = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        if self.inside >= self.settings.max_requests:
            most = self.settings.max_requests
            refusal = respond(Busy(f"{most} requests are under way, the most at once; try again in a second"))
            await refusal(scope, receive, send)
            return

        late = False

        async def patient(message: Message) -> None:
            nonlocal late
            try:
                async with asyncio.timeout(self.settings.send_timeout_s):
                    await send(message)
            except TimeoutError:
                late = True
                raise

        self.inside += 1
        try:
            # One begins at each turn of the loop: between two of them the others hear that it is full.
            async with self.door:
                await asyncio.sleep(0)
            await self.app(scope, receive, patient)
        except TimeoutError:
            if not late:
                raise
            # The server closes the connection of a response that was not finished.
            logger.info("a reader was dropped")
        finally:
            self.inside -= 1
