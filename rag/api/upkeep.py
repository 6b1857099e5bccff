"""What a server does beside answering: read the energy meter, close days, forget what is old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rag.assembly import System
from rag.conversations.replies import Replies
from rag.conversations.retention import sweeping
from rag.cost.accountant import Accountant

TICK_S = 10.0
logger = logging.getLogger("rag.upkeep")


@asynccontextmanager
async def upkeep(system: System, replies: Replies) -> AsyncIterator[None]:
    """Until the block is left."""
    async with sweeping(system.catalog.database, replies, system.settings.conversations):
        task = asyncio.create_task(ticking(system.accountant))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def ticking(accountant: Accountant) -> None:
    """The accountant's own work, for ever."""
    while True:
        try:
            await asyncio.to_thread(accountant.tick)
        except Exception:  # a loop that must not end: recorded, and tried again
            logger.exception("the books could not be kept up")
        await asyncio.sleep(TICK_S)
