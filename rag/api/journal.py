"""Structured log lines on standard error, one per request, without a word of a document or a question."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.wire import error_body

logger = logging.getLogger("rag.api")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class JsonLines(logging.Formatter):
    """One JSON object per record: the message, the named fields, and for an error its type and place only."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg if record.name.startswith("rag") else record.getMessage(),
            **getattr(record, "fields", {}),
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
    """Gives every request an id, logs how it ended, and turns a bug into a 500 that says so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = sent_id(scope) or secrets.token_hex(8)
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:  # the API border: recorded, and the caller gets a plain 500
            logger.exception("failed", extra={"fields": {"request_id": request_id}})
            if status:
                raise
            body = error_body(
                f"an error of Permafrost's own; the log has it under {request_id}",
                status=500,
                code="internal_error",
            )
            await JSONResponse(body, 500)(scope, receive, send_with_id)
        finally:
            fields = {
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
            }
            fields["ms"] = round((time.perf_counter() - started) * 1000, 1)
            logger.info("request", extra={"fields": fields})


def sent_id(scope: Scope) -> str:
    """The request id that the caller chose, when it is a harmless one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return ""
