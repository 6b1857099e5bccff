"""What is deleted when its time is over: old conversations, replies of yesterday, words of what is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError

from rag.conversations.erasure import forget_gone
from rag.conversations.replies import Replies
from rag.conversations.shelf import Conversations
from rag.errors import RagError
from rag.settings import ConversationsSettings
from rag.store.database import Database

DAY_S = 86_400.0
Clock = Callable[[], float]
logger = logging.getLogger("rag.conversations")


def sweep(database: Database, replies: Replies, settings: ConversationsSettings, clock: Clock) -> int:
    """Delete what is too old now; how many conversations that were."""
    replies.forget_old()
    forget_gone(database)
    kept = Conversations(database, clock=clock)
    return kept.forget_older(settings.keep_days) if settings.keep_days else 0


@asynccontextmanager
async def sweeping(
    database: Database,
    replies: Replies,
    settings: ConversationsSettings,
    *,
    every_s: float = DAY_S,
    clock: Clock = time.time,
) -> AsyncIterator[None]:
    """While this is open, old things are deleted at its start and daily."""

    async def daily() -> None:
        while True:
            try:
                gone = await asyncio.to_thread(sweep, database, replies, settings, clock)
                logger.info("swept", extra={"fields": {"conversations": gone}})
            except (RagError, DBAPIError) as error:
                # A full disk today is no reason to keep things for ever.
                logger.warning("not swept", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(every_s)

    task = asyncio.create_task(daily())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
