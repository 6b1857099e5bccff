"""A model file from a hub or a mirror, only with the digest it must have; broken transfers go on where they
stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from rag.errors import BadRequest, ModelError, ModelMismatch
from rag.models.intake import Wish, digest_of, examine, name_of, pinned
from rag.models.lockfile import Entry
from rag.models.shelf import Shelf
from rag.models.templates import named

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
ATTEMPTS, PAUSE_S = 4, 1.0
SHA256 = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a hub: where it is, and what its model is called unless its owner says otherwise."""

    url: str
    name: str
    source: str


def remote(what: str, hub: str) -> Remote:
    """What `org/repo/file.gguf` or a URL stands for. Raises BadRequest without a hub, or for neither form."""
    if what.startswith(("http://", "https://")):
        url = httpx.URL(what)
        return Remote(what, name_of(Path(url.path)), f"{url.host}{url.path}")
    parts = what.split("/")
    if len(parts) < 3 or not what.endswith(".gguf") or not all(parts) or {".", ".."} & set(parts):
        raise BadRequest(f"{what!r} names no model: write org/repo/file.gguf, org/repo, or a URL")
    check_hub(what, hub)
    path = "/".join([*parts[:2], "resolve/main", *parts[2:]])
    return Remote(f"{hub.rstrip('/')}/{path}", name_of(Path(parts[-1])), what)


def check_hub(what: str, hub: str) -> None:
    """Raises BadRequest without a hub."""
    if not hub:
        raise BadRequest(
            f"no hub is set, so {what!r} could be anywhere: name one with --from URL or RAG_MODELS_HUB"
        )


def offered(client: httpx.Client, place: Remote) -> str:
    """The digest that the hub itself states, or ""; it tells what would come, not what ought to."""
    try:
        # Without redirects: hubs state it where they send on to their store.
        reply = client.head(place.url)
    except httpx.HTTPError as error:
        raise ModelError(f"{place.url} cannot be reached: {error}") from None
    stated = reply.headers.get("x-linked-etag", "").strip('W/"').lower()
    return stated if SHA256.fullmatch(stated) else ""


def pull(
    shelf: Shelf,
    place: Remote,
    sha256: str,
    wish: Wish,
    *,
    client: httpx.Client,
    progress: Progress = lambda done, size: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Entry:
    """Fetch, check and enter a model. Raises ModelMismatch for other bytes than `sha256`, which are deleted;
    ModelError when the transfer stays broken, then a later pull goes on from there."""
    check_digest(sha256)
    name = shelf.free_name(wish.name or place.name)
    if wish.template:
        named(wish.template)  # known before gigabytes are fetched for it
    shelf.room_for(0)
    part = shelf.folder / f"{name}.{sha256[:16]}.part"
    fetch(client, place.url, part, shelf, progress, sleep)
    if (actual := digest_of(part)) != sha256:
        part.unlink()
        raise ModelMismatch(
            f"{place.url} is not the file you asked for: expected sha256 {sha256}, actual {actual}; "
            "it was deleted"
        )
    try:
        facts = examine(part, wish)
    except ModelError as error:
        raise ModelError(
            f"{error}. It stays there for another try; delete it if there will be none"
        ) from None
    entry = pinned(name, part, sha256, facts, source=place.source)
    shelf.place(part, entry)
    return entry


def check_digest(sha256: str) -> None:
    """Raises BadRequest for what cannot be a SHA-256."""
    if not SHA256.fullmatch(sha256):
        raise BadRequest(f"{sha256!r} is no SHA-256: write its 64 hexadecimal digits")


def fetch(
    client: httpx.Client,
    url: str,
    part: Path,
    shelf: Shelf,
    progress: Progress,
    sleep: Callable[[float], None],
) -> None:
    """Load a file into `part`, going on where it ends. Raises ModelError when the transfer stays broken."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(client, url, part, shelf, progress)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise ModelError(f"{url} cannot be fetched: {error}; is the address right?") from None
        except OSError as error:
            raise ModelError(
                f"{part} cannot be written: {error.strerror}; run the same command to go on from there"
            ) from None
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                have = part.stat().st_size if part.exists() else 0
                raise ModelError(
                    f"{url} broke off after {have} bytes ({type(error).__name__}: {error}); "
                    "run the same command to go on from there"
                ) from None
            sleep(PAUSE_S * attempt)


def _transfer(client: httpx.Client, url: str, part: Path, shelf: Shelf, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=asked, follow_redirects=True) as reply:
        if reply.status_code == 416:  # nothing is left to send: the digest decides
            return
        if reply.status_code not in (200, 206):
            raise ModelError(
                f"{url} answers {reply.status_code} {reply.reason_phrase}; is the address right?"
            )
        start, size = _span(reply, have)
        shelf.room_for(size - start if size else 0)
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for data in reply.iter_raw():  # as it comes: what waits for a whole chunk is lost at a break
                stream.write(data)
                progress(stream.tell(), size)
            if size and stream.tell() != size:
                raise httpx.ReadError(f"{size} bytes were announced")


def _span(reply: httpx.Response, have: int) -> tuple[int, int]:
    """Where the body starts in the file, and the size of the whole, 0 when it is not told."""
    if reply.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("content-range", ""))
        if not found or int(found[1]) != have:
            raise ModelError(f"{reply.url} sent another part than was asked for; remove the .part file")
        return have, int(found[2]) if found[2] != "*" else 0
    return 0, int(reply.headers.get("content-length", 0))
