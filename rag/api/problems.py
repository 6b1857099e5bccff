"""Errors on the way out: every one becomes a status and OpenAI's error object."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from rag.errors import RagError
from rag.wire import error_body


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
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"][1:] if not str(part).startswith(("str", "list[")))
    message = f"{where}: {problem['msg']}" if where else str(problem["msg"])
    return JSONResponse(error_body(message, status=400, code="invalid_request", param=where or None), 400)


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
