"""What a server does beside answering: reads the meter, closes days, forgets what is old, builds graphs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rag.assembly import System
from rag.conversations.replies import Replies
from rag.conversations.retention import sweeping
from rag.cost.accountant import Accountant
from rag.errors import RagError
from rag.store.vectors import Vectors

TICK_S = 10.0
TIDY_S = 600.0
logger = logging.getLogger("rag.upkeep")


@asynccontextmanager
async def upkeep(system: System, replies: Replies) -> AsyncIterator[None]:
    """Until the block is left."""
    async with sweeping(system.catalog.database, replies, system.settings.conversations):
        tasks = [
            asyncio.create_task(ticking(system.accountant)),
            asyncio.create_task(tidying(system.vectors)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def ticking(accountant: Accountant) -> None:
    """The accountant's own work, for ever."""
    while True:
        try:
            await asyncio.to_thread(accountant.tick)
        except Exception:  # a loop that must not end: recorded, and tried again
            logger.exception("the books could not be kept up")
        await asyncio.sleep(TICK_S)


async def tidying(vectors: Vectors) -> None:
    """The graph of the index when nobody asks, for ever."""
    while True:
        await asyncio.sleep(TIDY_S)
        try:
            await vectors.tidy()
        except RagError:
            logger.exception("the index could not be tidied")
