from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import httpx
import pytest

from rag.errors import AnswerBroken, BadRequest, Overloaded, Unauthorised, WorkerError, WorkerUnavailable
from rag.sdk import AsyncClient, Client
from rag.sdk.retry import LONGEST_WISH_S, Retry, retry_after_s
from tests.rag.sdk.conftest import STREAMED


@pytest.fixture(autouse=True)
def no_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest pause that may be drawn."""
    monkeypatch.setattr(Retry.__init__, "__defaults__", (2, lambda: 0.0))


def response(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers)


def test_pauses_are_drawn_below_a_doubling_bound() -> None:
    busy, most = response(503), Retry(9, draw=lambda: 1.0)
    assert [most.pause_s(tried, busy, repeatable=True) for tried in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]
    assert Retry(9, draw=lambda: 0.25).pause_s(2, busy, repeatable=True) == 0.25


def test_the_wish_of_the_server_is_kept_unless_it_is_too_long() -> None:
    patient = Retry(draw=lambda: 1.0)
    assert patient.pause_s(1, response(429, **{"Retry-After": "3"}), repeatable=True) == 3.5
    too_long = response(429, **{"Retry-After": str(LONGEST_WISH_S + 1)})
    assert patient.pause_s(1, too_long, repeatable=True) is None
    dated = response(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert retry_after_s(dated, lambda: 1445412470.0) == 10.0
    assert patient.pause_s(1, dated, repeatable=True) == 0.5  # that moment is over
    assert retry_after_s(response(429, **{"Retry-After": "soon"})) == 0.0


def test_what_may_not_be_repeated_is_sent_again_only_when_it_never_arrived() -> None:
    retry = Retry(draw=lambda: 0.0)
    refused = httpx.ConnectError("refused")
    assert retry.pause_s(1, refused, repeatable=False) == 0.0
    assert retry.pause_s(1, response(503), repeatable=False) is None
    assert retry.pause_s(1, httpx.RemoteProtocolError("gone"), repeatable=False) is None
    assert retry.pause_s(1, httpx.ReadTimeout("slow"), repeatable=True) is None
    assert retry.pause_s(3, refused, repeatable=False) is None


@pytest.mark.parametrize("trouble", [503, 429, "hang up"])
def test_a_search_is_repeated_until_the_server_is_well(moody: Any, trouble: int | str) -> None:
    moody.script = [trouble, trouble]
    with Client(moody.url) as client:
        assert client.search("leave") == []
    assert len(moody.seen) == 3


def test_patience_ends_after_the_retries_with_the_last_error(moody: Any) -> None:
    moody.script = [503, 503, 429, 200]
    with Client(moody.url) as client, pytest.raises(Overloaded, match="not now"):
        client.search("leave")
    assert len(moody.seen) == 3


def test_without_retries_the_first_error_is_told(moody: Any) -> None:
    moody.script = [503]
    with Client(moody.url, max_retries=0) as client, pytest.raises(WorkerUnavailable):
        client.search("leave")
    assert len(moody.seen) == 1


def test_a_wrong_request_is_not_repeated(moody: Any) -> None:
    moody.script = [400]
    with Client(moody.url) as client, pytest.raises(BadRequest):
        client.search("leave")
    assert len(moody.seen) == 1


def test_retry_after_is_waited_for(moody: Any) -> None:
    moody.script = [(429, 0.3)]
    started = time.monotonic()
    with Client(moody.url) as client:
        client.search("leave")
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("verb", ["pause_job", "cancel_job", "retry_job", "delete"])
def test_what_changes_something_is_sent_once(moody: Any, verb: str) -> None:
    moody.script = [503]
    with Client(moody.url) as client, pytest.raises(WorkerUnavailable):
        getattr(client, verb)("job-1")
    assert len(moody.seen) == 1


def test_an_upload_is_repeated_whole_and_under_the_same_key(moody: Any, tmp_path: Any) -> None:
    moody.script = [503, "hang up", 400]
    (tmp_path / "leave.txt").write_text("28 days of paid leave")
    with Client(moody.url) as client, pytest.raises(BadRequest):
        client.upload(tmp_path / "leave.txt")
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in moody.seen}
    assert len(moody.seen) == 3 and len(keys) == 1
    assert all(b"28 days of paid leave" in body for *_, body in moody.seen)


def test_a_stream_is_opened_again_but_never_begun_twice(moody: Any) -> None:
    moody.script = [503, 429]
    with Client(moody.url) as client:
        events = client.stream("leave?")
        assert [next(events), next(events)][1].text == "28 days"
        with pytest.raises(WorkerError, match="before it was whole"):
            next(events)
    assert len(moody.seen) == 3


def test_the_awaiting_client_does_the_same(moody: Any) -> None:
    async def both() -> tuple[list[Any], str]:
        async with AsyncClient(moody.url) as client:
            moody.script = [503, "hang up"]
            found = await client.search("leave")
            moody.script = [429]
            async with contextlib.aclosing(client.stream("leave?")) as events:
                await anext(events)
                return found, (await anext(events)).text

    assert asyncio.run(both()) == ([], "28 days")
    assert len(moody.seen) == 5


@pytest.mark.parametrize("rest", [b"", b'data: {"choices": [{"delta": {"content": " a ye'])
def test_an_answer_that_breaks_off_says_so_and_holds_what_arrived(moody: Any, rest: bytes) -> None:
    moody.streamed = STREAMED + rest

    async def awaited() -> AnswerBroken:
        async with AsyncClient(moody.url) as client:
            with pytest.raises(AnswerBroken) as found:
                [event async for event in client.stream("leave?")]
            return found.value

    with Client(moody.url) as client, pytest.raises(AnswerBroken) as found:
        list(client.stream("leave?"))
    for error in (found.value, asyncio.run(awaited())):
        assert error.text == "28 days" and "after 7 characters; ask again" in str(error)
        assert [each.title for each in error.passages] == ["Leave"]


@pytest.mark.parametrize("reply", [b"<html>hello</html>", {"object": "list", "hits": []}])
def test_a_server_that_is_another_or_of_another_version_is_told_from_a_bug(moody: Any, reply: Any) -> None:
    moody.replies = {"/v1/search": reply}
    with Client(moody.url) as client, pytest.raises(WorkerError) as found:
        client.search("leave")
    assert f"the reply of {moody.url} to POST /v1/search is none of Permafrost" in str(found.value)


def test_a_refused_key_is_told_with_where_keys_are_given(moody: Any) -> None:
    moody.script = [401, 401]
    with Client(moody.url) as client, pytest.raises(Unauthorised, match="set RAG_API_KEY, or api_key="):
        client.search("leave")
    with Client(moody.url, "rag_s3cret") as client, pytest.raises(Unauthorised) as found:
        client.search("leave")
    assert moody.url in str(found.value) and "s3cret" not in str(found.value)


def test_a_server_without_tls_is_not_one_that_is_away(moody: Any) -> None:
    with (
        Client(moody.url.replace("http:", "https:"), max_retries=0) as client,
        pytest.raises(WorkerUnavailable, match="no TLS with the server at https://.*use http://"),
    ):
        client.search("leave")


def test_many_texts_are_embedded_in_several_requests(moody: Any) -> None:
    with Client(moody.url) as client:
        assert client.embed([f"text {number}" for number in range(600)]) == [[1.0]] * 3
    assert [path for _, path, *_ in moody.seen] == ["/v1/embeddings"] * 3


def test_address_and_key_come_from_the_environment(moody: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_URL", moody.url + "/")
    monkeypatch.setenv("RAG_API_KEY", "rag_k_s3cret")
    with Client() as client:
        client.search("leave")
        assert "s3cret" not in repr(client._connection)
    assert moody.seen[0][2]["Authorization"] == "Bearer rag_k_s3cret"
    with Client(moody.url, "another") as client:
        client.search("leave")
    assert moody.seen[1][2]["Authorization"] == "Bearer another"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://host:port", "is no address of a server"),
        ("http://[::1", "is no address of a server"),
        ("http://exa mple.org", "holds more than the address"),
        ("http://127.0.0.1:8000?key=1", "holds more than the address"),
    ],
)
def test_an_address_with_more_or_less_than_one_is_refused(address: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        Client(address)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadRequest, match="RAG_API_KEY") as refused:
        Client("http://ann:s3cret@127.0.0.1:8000")
    assert "s3cret" not in str(refused.value)


def test_a_key_loses_the_end_of_its_line_and_must_be_one(moody: Any) -> None:
    with Client(moody.url, "k3y\n") as client:
        client.search("leave")
    assert moody.seen[0][2]["Authorization"] == "Bearer k3y"
    for odd in ("schl\u00fcssel", "two\nlines"):
        with pytest.raises(BadRequest, match="holds a character that no key has"):
            Client(moody.url, odd)


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(BadRequest, match="timeout_s 0 leaves no time"):
        Client(timeout_s=0)
