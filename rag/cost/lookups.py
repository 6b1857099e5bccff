"""Searches and vectors on the books: what is looked up without an answer takes the machine too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial

from rag.cost.accountant import Accountant
from rag.cost.ledger import Kind
from rag.cost.meter import Work
from rag.types import Principal
from rag.workers import CHILD_CPU, CpuTally


class Lookup(StrEnum):
    """What is looked up; it stands in the ledger where a tier would."""

    SEARCH = "search"
    VECTORS = "vectors"


@asynccontextmanager
async def booked(
    accountant: Accountant, what: Lookup, principal: Principal, *, collection: str | None = None
) -> AsyncIterator[None]:
    """Reserve for one lookup, and book what it took when the block ends. Raises BudgetExceeded.

    CPU-seconds of children count as far as the block calls them within its own task.
    """
    opening = partial(accountant.open, principal, tier=what, collection=collection, kind=Kind.LOOKUP)
    ticket = await asyncio.to_thread(opening)
    tally = CpuTally()
    token = CHILD_CPU.set(tally)
    try:
        with ticket:
            try:
                yield
            finally:
                ticket.add(Work(cpu_s=tally.seconds))
            await asyncio.to_thread(ticket.settle)
    finally:
        CHILD_CPU.reset(token)
