"""The chat page and its files."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from rag.errors import NotFound

router = APIRouter(include_in_schema=False)
# Named one by one: no path of a request ever becomes a path on disk.
FILES = {
    "app.js": "text/javascript",
    "answers.js": "text/javascript",
    "chat.js": "text/javascript",
    "conversations.js": "text/javascript",
    "library.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}


@router.get("/")
async def index() -> Response:
    """The chat page."""
    return Response(files("rag.web").joinpath("index.html").read_bytes(), media_type="text/html")


@router.get("/web/{name}")
async def asset(name: str) -> Response:
    """A file of the chat page."""
    if name not in FILES:
        raise NotFound(f"no file {name!r} belongs to the page")
    return Response(files("rag.web").joinpath(name).read_bytes(), media_type=FILES[name])
