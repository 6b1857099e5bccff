"""The folder that a backup, or a home made out of one, is to lie in: free, elsewhere, with room."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from rag.errors import BadRequest, DiskFull
from rag.store.manifest import UNFINISHED

SPARE = ("lost+found",)  # what a fresh file system holds


def refuse_the_place(target: Path, home: Path) -> None:
    """Raises BadRequest for a folder that holds something, or lies in the home."""
    if target.resolve().is_relative_to(home.resolve()):
        raise BadRequest(f"{target} lies in the home and would be lost with it: choose another folder")
    if (target / UNFINISHED).exists():
        raise BadRequest(f"{target} holds a backup that was interrupted: remove it, or choose another folder")
    if not is_free(target):
        raise BadRequest(
            f"{target} is there and not empty: every backup has a folder of its own, name a new one"
        )


def is_free(folder: Path) -> bool:
    """Whether a folder is absent or empty."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(each.name in SPARE for each in folder.iterdir())


def refuse_a_full_disk(folder: Path, needed: int, spare_bytes: int) -> None:
    """Raises DiskFull with what is needed and what is free."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + spare_bytes > free:
        raise DiskFull(
            f"{folder} has {free / 1e6:,.1f} MB free; {needed / 1e6:,.1f} MB are needed and "
            f"{spare_bytes / 1e6:,.1f} MB stay free [store.min_free_bytes]: make room, or choose another disk"
        )


def clear(folder: Path) -> None:
    """Remove what was begun in a folder; the folder itself may have been there before."""
    for each in folder.iterdir():
        if each.name not in SPARE:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    with suppress(OSError):
        folder.rmdir()
