"""Documents over HTTP: sent, listed, read, given back as they came, deleted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote as url_quote

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.api.multipart import Form
from rag.api.state import Asker, Running, Writer
from rag.errors import BadRequest, NotFound
from rag.rendering import marks, span
from rag.store.originals import Originals
from rag.types import Document, DocumentState
from rag.wire import ChunksReply, DocumentsReply, LinesReply, Receipt, UploadReply

router = APIRouter(prefix="/v1/documents")
Replies = dict[int | str, dict[str, Any]]
PAGE = 1000
PIECE_BYTES = 256 * 1024
FIELDS = ("collection", "labels", "groups")
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "collection": {"type": "string", "default": "default"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "groups": {"type": "array", "items": {"type": "string"}},
    },
}
SCHEMA = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}
FILE = {"type": "string", "format": "binary"}
BYTES: Replies = {200: {"content": {"application/octet-stream": {"schema": FILE}}}}
ChunkId = Annotated[str, Query(pattern=r"^[\w-]{1,100}$", description="`chunk_id` of a citation")]
Start = Annotated[int, Query(ge=0, description="where its quote starts in the chunk")]
End = Annotated[int | None, Query(ge=1, description="and where it ends; without it, the chunk's end")]
PICTURE: Replies = {200: {"content": {"image/png": {"schema": FILE}}}}


@router.post("", status_code=202, openapi_extra=SCHEMA)
async def upload(request: Request, system: Running, caller: Writer) -> UploadReply:
    """Take in files, which the named job indexes. A name stands for one document of a collection.

    `labels` and `groups` may come several times. Without groups everyone may read, if the sender is one.
    """
    form, fields = Form(request), defaultdict[str, list[str]](list)
    async with system.feeder.receiving() as files:
        async for part in form.parts():
            if part.name == "file" and part.filename is not None:
                await files.add(part.filename, part.pieces())
            elif part.name in FIELDS:
                fields[part.name].append(await part.value())
            else:
                known = ", ".join(("file", *FIELDS))
                raise BadRequest(f"no field {part.name[:100]!r}; have {known}")
        accepted = await system.feeder.submit(
            files,
            caller,
            collection=(fields["collection"] or ["default"])[-1],
            groups=fields["groups"],
            labels=fields["labels"],
        )
    request.state.object = accepted.job
    documents = [await system.document(document_id, caller) for document_id in accepted.documents]
    return UploadReply(job=accepted.job, documents=documents)


@router.get("")
async def documents(
    system: Running,
    caller: Asker,
    collection: str | None = None,
    state: DocumentState | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
    after: str | None = None,
) -> DocumentsReply:
    """The documents the caller may read, by uri. `after`: the `next` of the page before."""
    found = await asyncio.to_thread(
        system.catalog.documents,
        caller,
        collection=collection,
        state=state,
        after=place(after) if after else None,
        limit=limit + 1,
    )
    page, more = found[:limit], found[limit:]
    return DocumentsReply(documents=page, next=bookmark(page[-1]) if more else None)


@router.get("/{document_id}")
async def document(document_id: str, system: Running, caller: Asker) -> Document:
    """One document: its state, why it was set aside, what was remarkable about it."""
    return await system.document(document_id, caller)


@router.get("/{document_id}/chunks")
async def chunks(
    document_id: str,
    system: Running,
    caller: Asker,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
    after: Annotated[int, Query(ge=-1)] = -1,
) -> ChunksReply:
    """The text of a document's live version, piece by piece. `after`: the `next` of the page before."""
    found = await system.document(document_id, caller)
    page = await asyncio.to_thread(system.catalog.chunks, found.version, after=after, limit=limit + 1)
    return ChunksReply(chunks=page[:limit], next=page[limit - 1].ordinal if len(page) > limit else None)


@router.get("/{document_id}/lines")
async def lines(
    document_id: str, system: Running, caller: Asker, chunk: ChunkId, start: Start = 0, end: End = None
) -> LinesReply:
    """Where the words of a citation are printed, for who shows the document itself."""
    found = await system.document(document_id, caller)
    words = await asyncio.to_thread(span, system.catalog, caller, found, chunk, start, end)
    return LinesReply(boxes=list(await system.page_images.lines(found, words)))


@router.get("/{document_id}/pages/{page}.png", response_class=Response, responses=PICTURE)
async def page_image(
    document_id: str,
    page: int,
    system: Running,
    caller: Asker,
    highlight: Annotated[list[str], Query(description="left,top,right,bottom in points")] = [],  # noqa: B006
    chunk: ChunkId | None = None,
    start: Start = 0,
    end: End = None,
) -> Response:
    """A page of a PDF as a picture, with the words of a citation marked, or boxes.

    `Content-Location` names the page that is shown: of a chunk on several pages, the one its words stand on.
    """
    found = await system.document(document_id, caller)
    boxes, quote = marks(page, highlight), None
    if chunk is not None:
        quote = await asyncio.to_thread(span, system.catalog, caller, found, chunk, start, end)
    picture = await system.page_images.draw(found, page, boxes, quote=quote)
    headers = {
        "Cache-Control": "private, no-store",
        "Content-Location": f"/v1/documents/{url_quote(found.id, safe='')}/pages/{picture.page}.png",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(picture.png, media_type="image/png", headers=headers)


@router.get("/{document_id}/content", response_class=Response, responses=BYTES)
async def content(document_id: str, system: Running, caller: Asker) -> StreamingResponse:
    """The bytes of a document's live version as they came, to be saved and not shown.

    They are there for uploads, for parts of other documents, and for files that did not change since.
    """
    found = await system.document(document_id, caller)
    file = await asyncio.to_thread(opened, found, system.settings.home)
    headers = {
        "Content-Disposition": disposition(Path(found.uri).name),
        "Content-Length": str(os.fstat(file.fileno()).st_size),
    }
    return FileStream(file, headers)


@router.delete("/{document_id}")
async def delete(document_id: str, system: Running, caller: Writer) -> Receipt:
    """Forget a document and the parts in it; it stops answering before the reply, which says what went.

    Those of others need the right to curate.
    """
    return await system.delete(document_id, caller)


def bookmark(document: Document) -> str:
    """Where a page ended, for the next one. It names what the caller has seen and nothing else."""
    return base64.urlsafe_b64encode(json.dumps([document.uri, document.id]).encode()).decode()


def place(bookmark: str) -> tuple[str, str]:
    """The uri and id that a bookmark stands for. Raises BadRequest when it is none of ours."""
    # A thousand brackets are one recursion too many; half of a surrogate pair cannot be looked up.
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(base64.urlsafe_b64decode(bookmark))
        if isinstance(found, list) and len(found) == 2 and all(isinstance(each, str) for each in found):
            "".join(found).encode()
            return found[0], found[1]
    raise BadRequest("`after` is the `next` of an earlier page, and this is not one")


def opened(document: Document, home: Path) -> BinaryIO:
    """The bytes of a document, if they still are what was indexed. Raises NotFound."""
    kept = Originals(home).path(document.sha256)
    path = Path(document.uri) if document.source == "" and document.parent is None else kept
    with contextlib.suppress(OSError):
        file = path.open("rb")
        if path == kept or hashlib.file_digest(file, "sha256").hexdigest() == document.sha256:
            file.seek(0)
            return file
        file.close()
    raise NotFound(f"the bytes of document {document.id!r} are not here; look at its source")


class FileStream(StreamingResponse):
    """Sends an open file, and closes it however that ends: a reader who is dropped would leave it open."""

    def __init__(self, file: BinaryIO, headers: dict[str, str]) -> None:
        super().__init__(pieces(file), media_type="application/octet-stream", headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file piece by piece."""
    while data := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield data


def disposition(name: str) -> str:
    """Names a file to be saved (RFC 6266): plain ASCII, and the true name beside it."""
    plain = "".join(
        each if each.isascii() and each.isprintable() and each not in '"\\%' else "_" for each in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{url_quote(name, safe='')}"
