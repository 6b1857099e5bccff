"""What Prometheus reads: /metrics, for who may operate the server."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from rag.api.state import Operator, Running
from rag.observability.census import census
from rag.observability.metrics import Metrics

router = APIRouter()


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, system: Running, caller: Operator) -> Response:
    """Counters of this process and what it holds, in Prometheus' text form. Nobody and nothing is named."""
    kept: Metrics = request.app.state.metrics
    return Response(kept.text(await census(system)), media_type=kept.content_type)
