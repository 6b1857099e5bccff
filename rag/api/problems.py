"""Errors on the way out: every one becomes a status and OpenAI's error object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from rag.errors import RagError
from rag.wire import error_body

# What pydantic calls the forms of a field, in the path of what is wrong with it.
FORM = re.compile(r"(str|bool|int|none|literal\[.*|(constrained-|tagged-union\[|function-|list\[|dict\[).*)$")
OTHER_FORM = ("string_type", "list_type", "bool_type", "none_required", "literal_error")


def respond(error: RagError) -> JSONResponse:
    """The response that tells of one of our errors."""
    headers = {"Retry-After": "1"} if error.status in (429, 503) else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        error_body(error.message, status=error.status, code=error.code), error.status, headers
    )


async def on_rag_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    return respond(error)


async def on_invalid(request: Request, error: Exception) -> JSONResponse:
    """A body that is not what the route asks for: 400, naming the field."""
    assert isinstance(error, RequestValidationError)
    problem = nearest(error.errors())
    where = place(problem)
    message = f"{where}: {told(problem)}" if where else told(problem)
    return JSONResponse(error_body(message, status=400, code="invalid_request", param=where or None), 400)


def nearest(problems: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The problem of the form that was meant: of a field with several forms pydantic tells one for each."""
    field = problems[0]["loc"][:2]
    of_field = [problem for problem in problems if problem["loc"][:2] == field]
    return max(of_field, key=lambda problem: (place(problem).count("."), problem["type"] not in OTHER_FORM))


def place(problem: dict[str, Any]) -> str:
    """The path of a field, without the names of its forms."""
    parts = [str(part) for part in problem["loc"][1:]]
    return ".".join(part for part in parts if not FORM.match(part))


def told(problem: dict[str, Any]) -> str:
    """What is wrong with a field."""
    if problem["type"] == "none_required":
        return "this is not offered here; leave it out"
    return str(problem["msg"]).removeprefix("Value error, ")


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """What the router itself raises: no such path, no such method."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    code = "not_found" if error.status_code == 404 else "invalid_request"
    return JSONResponse(
        error_body(message, status=error.status_code, code=code), error.status_code, error.headers
    )


def handle_errors(app: FastAPI) -> None:
    """Install the three handlers. What is left is a bug, and the journal's."""
    app.add_exception_handler(RagError, on_rag_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
