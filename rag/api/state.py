"""How a route reaches the running system, and who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from rag.assembly import System
from rag.errors import Forbidden
from rag.types import Principal, Right


def system_of(request: Request) -> System:
    """The system this application serves."""
    system: System = request.app.state.system
    return system


def closing_of(request: Request) -> asyncio.Event:
    """Set when the server wants to end."""
    closing: asyncio.Event = request.app.state.closing
    return closing


def needs(right: Right) -> Callable[[Request], Principal]:
    """What a route depends on: the caller, who has this right. Raises Forbidden."""

    def caller(request: Request) -> Principal:
        principal: Principal = request.state.principal
        if not principal.may(right):
            raise Forbidden(f"this needs the right {right.value!r}, which your key or role does not have")
        return principal

    return caller


Running = Annotated[System, Depends(system_of)]
Asker = Annotated[Principal, Depends(needs(Right.ASK))]
Writer = Annotated[Principal, Depends(needs(Right.WRITE))]
Curator = Annotated[Principal, Depends(needs(Right.CURATE))]
Operator = Annotated[Principal, Depends(needs(Right.OPERATE))]
Auditor = Annotated[Principal, Depends(needs(Right.AUDIT))]
Admin = Annotated[Principal, Depends(needs(Right.ADMIN))]
