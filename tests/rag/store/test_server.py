"""What only a Qdrant server has to cope with: that it is away, or slow."""

from __future__ import annotations

import socket
import time

import pytest
from qdrant_client import QdrantClient

from rag.errors import IndexUnavailable
from rag.store.server import ServerPoints


def test_nobody_at_the_address_is_said_in_our_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(IndexUnavailable, match=r"cannot open the Qdrant server.*store\.url"):
            ServerPoints.connect(f"http://127.0.0.1:{taken.getsockname()[1]}", collection="c", dim=4)


def test_a_silent_server_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        client = QdrantClient(url=url, timeout=1, check_compatibility=False)
        with pytest.raises(IndexUnavailable, match="cannot open"):
            ServerPoints(client, client, collection="c", dim=4)
        assert time.monotonic() - started < 60
        client.close()
