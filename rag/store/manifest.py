"""What a backup holds: every file with its size and SHA-256, and where the home was when it was made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rag.errors import BackupError
from rag.store.copying import Held, copy, flush, flush_folders, write
from rag.store.database import FILE, REVISION

NAME = "manifest.json"
UNFINISHED = "unfinished"  # lies in a backup until its manifest does
FORM = 1
# Small files of a home that cannot be made again; a test holds them against the names their owners use.
KEPT = (
    "pepper",
    "ledger.key",
    "audit-heads.jsonl",
    "quantisation-gates.json",
    "chunk-cache-gates.json",
    "models/models.lock",
)
ORIGINAL = re.compile(r"originals/([0-9a-f]{2})/\1[0-9a-f]{62}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup. `created_at`: the moment whose state it holds, in seconds since 1970.

    `rows`: how many rows each table that matters had then. `models`: those that the owner of the home added,
    whether their files are here or not. `damaged`: originals whose bytes were not what their name says; they
    are left out. `digest`: of the manifest itself as it lies on disk.
    """

    version: str
    revision: str
    created_at: float
    rows: Mapping[str, int]
    files: tuple[Held, ...]
    models: tuple[Held, ...] = ()
    damaged: tuple[str, ...] = ()
    digest: str = ""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(each.size for each in self.files)

    @property
    def missing_models(self) -> list[str]:
        """Files of added models that are not in the backup."""
        here = {each.path for each in self.files}
        return [each.path for each in self.models if each.path not in here]

    def write(self, folder: Path) -> Manifest:
        """Finish a backup: the manifest appears whole, after everything it names; as it is then known."""
        fields = {name: value for name, value in asdict(self).items() if name != "digest"}
        text = json.dumps({"form": FORM, **fields}, ensure_ascii=False, indent=1).encode()
        draft = folder / f"{NAME}.new"
        write(draft, text)
        flush_folders(folder)
        draft.replace(folder / NAME)
        (folder / UNFINISHED).unlink(missing_ok=True)
        flush(folder)
        return parsed(text, folder)


def read(folder: Path) -> Manifest:
    """The manifest of a backup. Raises BackupError without one, or when this program cannot use it."""
    try:
        text = (folder / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if (folder / UNFINISHED).exists():
            raise BackupError(f"{folder} is a backup that was interrupted: remove it, make another") from None
        raise BackupError(
            f"{folder} holds no {NAME}, so it is no backup made by `rag backup create`"
        ) from None
    except OSError as error:
        raise BackupError(f"{folder / NAME} cannot be read: {error.strerror}") from None
    return parsed(text, folder)


def parsed(text: bytes, folder: Path) -> Manifest:
    """A manifest out of its JSON, checked: nothing it names lies elsewhere than a home keeps such files."""
    try:
        fields = json.loads(text)
        if fields.pop("form") > FORM:
            raise BackupError(f"{folder} was made by Permafrost {fields.get('version')}: upgrade this one")
        for name in ("files", "models"):
            fields[name] = tuple(Held(**each) for each in fields[name])
        manifest = Manifest(**{**fields, "damaged": tuple(fields["damaged"])}, digest=digest(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{folder / NAME} is damaged ({error}): take another backup") from None
    if manifest.revision > REVISION:
        raise BackupError(
            f"{folder} has schema {manifest.revision}, made by Permafrost {manifest.version}; this is schema "
            f"{REVISION}: upgrade Permafrost before you restore it"
        )
    for held in (*manifest.files, *manifest.models):
        if not belongs(held.path):
            raise BackupError(f"{folder / NAME} names {held.path!r}, which no backup holds: it was altered")
    return manifest


def verify(folder: Path, *, progress: Callable[[int, int], None] = lambda *_: None) -> Manifest:
    """Read every byte of a backup. Raises BackupError that names the first file that is not as it was.

    `progress` hears bytes read and bytes in all.
    """
    manifest = read(folder)
    if not any(held.path == FILE for held in manifest.files):
        raise BackupError(f"{folder / NAME} names no {FILE}: it was altered")
    done = 0
    for held in manifest.files:
        check(held, copy(folder / held.path, None), folder)
        done += held.size
        progress(done, manifest.size)
    return manifest


def check(held: Held, found: Held, folder: Path) -> None:
    """Raises BackupError when a file that was read is not the one that was written."""
    if found.size != held.size:
        what = f"has {found.size} bytes instead of {held.size}"
    elif found.sha256 != held.sha256:
        what = "holds other bytes than were written"
    else:
        return
    raise BackupError(f"{folder / held.path} {what}: this backup is damaged or altered, take another")


def belongs(path: str) -> bool:
    """Whether a home keeps such a file."""
    parts = Path(path).parts
    in_models = parts[:1] == ("models",) and len(parts) > 1 and ".." not in parts
    return path in (FILE, *KEPT) or bool(ORIGINAL.fullmatch(path)) or in_models


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
