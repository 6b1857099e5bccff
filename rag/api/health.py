"""Is it alive, is it ready."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse

from rag.api.state import system_of
from rag.assembly import System
from rag.errors import RagError

router = APIRouter()
DEADLINE_S = 10.0


@router.get("/healthz")
async def healthz(system: Annotated[System, Depends(system_of)]) -> dict[str, str]:
    """Answers as long as the event loop runs. `instance` tells whether it is the server of a home."""
    return {"status": "ok", "instance": system.instance}


@router.get("/readyz")
async def readyz(system: Annotated[System, Depends(system_of)]) -> JSONResponse:
    """200 when the index can be reached and the model is the pinned one, else 503."""
    index, model = await asyncio.gather(check_index(system), check_model(system))
    ready = index == "ok" and model == "ok"
    return JSONResponse({"ready": ready, "index": index, "model": model}, 200 if ready else 503)


async def check_index(system: System) -> str:
    """The word ok, or why the index cannot be reached."""
    return await verdict(system.vectors.info())


async def check_model(system: System) -> str:
    """The word ok, or why the model cannot be used."""
    return await verdict(asyncio.to_thread(system.verify_model))


async def verdict(check: Any) -> str:
    """The word ok, or the code of the error: a probe is open to all, so no path is told."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            await check
    except RagError as error:
        return error.code
    except TimeoutError:
        return "timeout"
    return "ok"
