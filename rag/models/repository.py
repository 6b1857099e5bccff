"""An encoder's repository on a hub: one commit of it, the files that are read when the model runs.

Its owner pins the weights. The small files beside them are those of the commit, compared with the digests
that the hub lists for it, and pinned from then on.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from rag.errors import ModelError, ModelMismatch
from rag.models.folders import CARD, examine_folder, wanted
from rag.models.hub import Progress, check_digest, check_hub, fetch
from rag.models.intake import Wish, digest_of, name_of, pinned_folder
from rag.models.lockfile import Entry
from rag.models.shelf import Shelf

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
MOST_PAGES = 20  # of a listing, a thousand files each


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the hub lists it. `sha256`: of a large file; empty: `blob` counts, Git's digest of a small
    one."""

    path: str
    size: int
    sha256: str
    blob: str

    def check(self, file: Path) -> str:
        """The SHA-256 of the file. Raises ModelMismatch, and deletes it, when it is not the listed one."""
        sha256 = digest_of(file)
        expected = self.sha256 or self.blob
        if (actual := sha256 if self.sha256 else blob_digest(file)) != expected:
            file.unlink()
            raise ModelMismatch(
                f"{self.path} is not the file that the hub lists: expected {expected}, actual {actual}; "
                "it was deleted, run the same command again"
            )
        return sha256


@dataclass(frozen=True, slots=True)
class Repository:
    """One commit of a repository. `files`: those that are wanted, the weights first."""

    name: str
    hub: str
    commit: str
    files: tuple[Listed, ...]

    @property
    def weights(self) -> Listed:
        """The file by which the model is pinned."""
        return self.files[0]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)

    def url(self, path: str) -> str:
        return f"{self.hub}/{self.name}/resolve/{self.commit}/{quote(path)}"


def is_repository(what: str) -> bool:
    """Whether it names a whole repository, org/repo, and no file of one."""
    return bool(REPOSITORY.fullmatch(what)) and not what.endswith(".gguf")


def listed(client: httpx.Client, what: str, hub: str, *, revision: str, graphs: bool = False) -> Repository:
    """What a hub has of an encoder at a revision. Raises BadRequest without a hub, ModelError for none."""
    check_hub(what, hub)
    hub = hub.rstrip("/")
    at = asked(client, f"{hub}/api/models/{what}/revision/{quote(revision, safe='')}")[0]
    commit = str(at.get("sha", "")) if isinstance(at, dict) else ""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ModelError(f"{hub} names no commit for {revision!r} of {what}; is it a hub?")
    rows: list[Any] = []
    page: str | None = f"{hub}/api/models/{what}/tree/{commit}?recursive=true"
    for _ in range(MOST_PAGES):
        if page:
            more, page = asked(client, page)
            rows += more if isinstance(more, list) else []
    if page:
        raise ModelError(f"{what} has more files than any model: its list goes on after {MOST_PAGES} pages")
    found = {each.path: each for each in map(row_of, rows) if each}
    try:
        names = wanted(found, graphs=graphs)
    except ModelError as error:
        raise ModelError(f"{what} at {commit[:12]} cannot be used: {error}") from None
    return Repository(what, hub, commit, tuple(found[name] for name in (*names, *({CARD} & found.keys()))))


def asked(client: httpx.Client, url: str) -> tuple[Any, str | None]:
    """What the hub answers, and the address of the next page. Raises ModelError when it does not."""
    try:
        reply = client.get(url, follow_redirects=True)
        if reply.status_code != 200:
            raise ModelError(
                f"{url} answers {reply.status_code} {reply.reason_phrase}; is the name right? Where a mirror "
                "lists no files, fetch the folder by other means and use `rag models add FOLDER`"
            )
        return reply.json(), reply.links.get("next", {}).get("url")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelError(f"{url} cannot be reached: {error}") from None
    except ValueError:
        raise ModelError(f"{url} answers no JSON; is it a hub?") from None


def row_of(row: Any) -> Listed | None:
    """A file of a listing; None for a folder. Raises ModelError for a path that leads elsewhere."""
    try:
        if row["type"] != "file":
            return None
        path, large = str(row["path"]), row.get("lfs") or {}
        made = Listed(path, int(row["size"]), str(large.get("oid", "")), str(row["oid"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"the hub's listing has a row that is not understood: {str(row)[:200]}") from None
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ModelError(f"the hub lists {path!r}, which is no file of a folder")
    return made


def pull_folder(
    shelf: Shelf,
    repository: Repository,
    sha256: str,
    wish: Wish,
    *,
    client: httpx.Client,
    progress: Progress = lambda done, size: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Entry:
    """Fetch, check and enter an encoder. Raises ModelMismatch for other weights than `sha256`, before
    anything is fetched where the hub says so; ModelError for a broken transfer: a later pull goes on."""
    check_digest(sha256)
    weights = repository.weights
    if weights.sha256 and weights.sha256 != sha256:
        raise ModelMismatch(
            f"{weights.path} of {repository.name} at {repository.commit[:12]} is not the file you asked for: "
            f"expected sha256 {sha256}, the hub has {weights.sha256}"
        )
    name = shelf.free_name(wish.name or name_of(Path(repository.name), folder=True))
    part = shelf.folder / f"{name}.{repository.commit[:16]}.part"
    shelf.room_for(repository.size - sum(size_of(part / each.path) for each in repository.files))
    digests = fetch_all(repository, part, shelf, client, progress, sleep)
    if (actual := digests[weights.path]) != sha256:
        (part / weights.path).unlink()
        raise ModelMismatch(
            f"{weights.path} of {repository.name} is not the file you asked for: expected sha256 {sha256}, "
            f"actual {actual}; it was deleted"
        )
    try:
        held = examine_folder(part, graphs=wish.graphs, licence=wish.licence, called=repository.name)
    except ModelError as error:
        raise ModelError(
            f"{error}. It stays there for another try; delete it if there will be none"
        ) from None
    sizes = {each.path: each.size for each in repository.files}
    source = f"{repository.name} at {repository.commit}"
    entry = pinned_folder(name, held, sizes, digests, source=source)
    shelf.place(part, entry)
    return entry


def fetch_all(
    repository: Repository,
    part: Path,
    shelf: Shelf,
    client: httpx.Client,
    progress: Progress,
    sleep: Callable[[float], None],
) -> dict[str, str]:
    """Load the files that are not there yet, and check all; their SHA-256 by path."""
    done, digests = 0, {}
    for each in repository.files:
        file = part / each.path
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if size_of(file) != each.size:
            told = partial(beyond, progress, done, repository.size)
            fetch(client, repository.url(each.path), file, shelf, told, sleep)
        digests[each.path] = each.check(file)
        done += each.size
        progress(done, repository.size)
    return digests


def beyond(progress: Progress, before: int, whole: int, done: int, size: int) -> None:
    """Tell how much of the whole has arrived, from how much of one file has."""
    progress(before + done, whole)


def blob_digest(file: Path) -> str:
    """The SHA-1 by which Git knows the content of a file."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
