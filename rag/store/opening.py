"""Which point store holds a generation: the embedded one, or a collection on a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rag.settings import StoreSettings
from rag.store.edge import EdgePoints
from rag.store.points import PointStore
from rag.store.stamp import folder_of, remove_folder


def open_points(
    folder: Path,
    settings: StoreSettings,
    dim: int,
    generation: str,
    *,
    learned: bool = False,
    token_dim: int = 0,
) -> PointStore:
    """The point store that the settings name: a server when they hold a URL, else the embedded one.

    `learned`: the sparse vectors are a model's, not BM25's. `token_dim`: of its token vectors; 0: none.
    """
    vectors: dict[str, Any] = {
        "dim": dim,
        "learned": learned,
        "token_dim": token_dim,
        "quantisation": settings.quantisation,
    }
    openers: dict[str, Callable[[], PointStore]] = {
        "edge": lambda: EdgePoints(folder / "edge", min_free_bytes=settings.min_free_bytes, **vectors),
        "server": lambda: connect(settings, generation, vectors),
    }
    return openers["server" if settings.url else "edge"]()


def connect(settings: StoreSettings, generation: str, vectors: dict[str, Any]) -> PointStore:
    """The collection on the server that the settings name, made where it is missing."""
    # The client takes 1.3 s to import, and most have no server.
    from rag.store.server import ServerPoints

    return ServerPoints.connect(
        settings.url,
        collection=collection_of(settings, generation),
        api_key=settings.api_key,
        timeout_s=settings.timeout_s,
        **vectors,
    )


def drop_points(home: Path, settings: StoreSettings, generation: str) -> None:
    """Delete the index of a generation that nobody has open. Raises IndexUnavailable, BadRequest."""
    folder_of(home, generation)
    if settings.url:
        from rag.store.server import delete_collection

        collection = collection_of(settings, generation)
        delete_collection(settings.url, collection=collection, api_key=settings.api_key)
    remove_folder(home, generation)


def collection_of(settings: StoreSettings, generation: str) -> str:
    """The collection of a generation on a server; the first one has the plain name."""
    return settings.collection if generation == "1" else f"{settings.collection}-g{generation}"
