"""Structured log lines on standard error, one per request, without a word of a document or a question."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.observability.metrics import Metrics
from rag.observability.tracing import span
from rag.wire import error_body

logger = logging.getLogger("rag.api")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
TRACE = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
UNKNOWN = "unknown"


# What a log line may hold beside its event. Nothing that a caller wrote is among it but an unknown path.
FIELDS = ("request_id", "method", "path", "status", "ms")
LONGEST_PATH = 60


class JsonLines(logging.Formatter):
    """One JSON object per record: the event, the allowed fields, and for an error its type and place only."""

    def format(self, record: logging.LogRecord) -> str:
        given = getattr(record, "fields", {})
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg if record.name.startswith("rag") else record.getMessage(),
            **{name: given[name] for name in FIELDS if name in given},
        }
        if record.exc_info and record.exc_info[0]:
            # The text of an exception may quote a document, so it stays out.
            frames = traceback.extract_tb(record.exc_info[2])
            line |= {"error": record.exc_info[0].__name__}
            line |= {"where": [f"{frame.filename}:{frame.lineno}" for frame in frames[-4:]]}
        return json.dumps(line, ensure_ascii=False)


def start_logging(level: str) -> None:
    """Send all log records of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class Journal:
    """Gives every request an id, logs, counts and traces how it ended, and turns a bug into a plain 500."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics | None = None) -> None:
        self.app, self.metrics = app, metrics or Metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = sent_id(scope) or secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        method = scope["method"] if scope["method"] in METHODS else UNKNOWN
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        self.metrics.began()
        with span("request", method=method, caller=sent(scope, b"traceparent", TRACE)) as whole:
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:  # the API border: recorded, and the caller gets a plain 500
                logger.exception("failed", extra={"fields": {"request_id": request_id}})
                if status:
                    raise
                await JSONResponse(bug(request_id), 500)(scope, receive, send_with_id)
            finally:
                seconds, route = time.perf_counter() - started, route_of(scope)
                whole.note(route=route, status=status)
                self.metrics.request(route, method, status, seconds)
                fields = {
                    "request_id": request_id,
                    "method": method,
                    "path": beginning(scope["path"]) if route == UNKNOWN else route,
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                }
                logger.info("request", extra={"fields": fields})


def route_of(scope: Scope) -> str:
    """The pattern of the path, such as /v1/documents/{document_id}: no id, no name, no secret of a link."""
    return str(getattr(scope.get("route"), "path", UNKNOWN))


def beginning(path: str) -> str:
    """As much of a path that was turned away as can be no id and no secret."""
    return "/".join(path.split("/")[:3])[:LONGEST_PATH]


def bug(request_id: str) -> dict[str, Any]:
    """What a caller is told of an error that is not his."""
    return error_body(
        f"an error of Permafrost's own; the log has it under {request_id}", status=500, code="internal_error"
    )


def sent_id(scope: Scope) -> str:
    """The request id that the caller chose, when it is a harmless one."""
    return sent(scope, b"x-request-id", REQUEST_ID)


def sent(scope: Scope, wanted: bytes, form: re.Pattern[bytes]) -> str:
    """A header that the caller sent, when it is a harmless one."""
    for name, value in scope["headers"]:
        if name == wanted and form.fullmatch(value):
            return str(value.decode())
    return ""
