from __future__ import annotations

from typing import Any

from rag.errors import IndexUnavailable
from rag.models.lockfile import entry


def test_it_is_alive_and_says_which_instance_it_is(service: Any) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok", "instance": "the-instance"}


def test_it_is_not_ready_without_its_index(service: Any) -> None:
    service.library.failure = IndexUnavailable("the shard of a private path cannot be opened")
    reply = service.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["index"] == "index_unavailable"
    assert "private" not in reply.text


def test_it_is_not_ready_with_a_model_that_is_not_the_pinned_one(service: Any, tmp_path: Any) -> None:
    file = tmp_path / "models" / entry("smollm2-135m-instruct").file
    file.parent.mkdir()
    file.write_bytes(b"GGUF, but another one")
    reply = service.http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "index": "ok", "model": "model_mismatch"}
