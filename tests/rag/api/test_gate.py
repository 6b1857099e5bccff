from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from rag.accounts.roles import Role
from rag.api import gate
from rag.api.gate import is_loopback
from rag.api.shield import HEADERS

JSON = {"content-type": "application/json"}
QUESTION = {"messages": [{"role": "user", "content": "paid leave"}]}


def test_a_foreign_host_name_on_loopback_is_refused(service: Any) -> None:
    reply = service.http.get("/v1/documents", headers={"host": "rebound.example:8000"})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "origin_refused"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8000", "LOCALHOST:8000"])
def test_loopback_names_are_served(service: Any, host: str) -> None:
    assert service.http.get("/v1/documents", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("header", [{"host": "["}, {"host": "[::1"}, {"origin": "http://["}])
def test_a_host_or_origin_that_is_none_is_refused(service: Any, header: dict[str, str]) -> None:
    reply = service.http.get("/v1/documents", headers=header)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "origin_refused")


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_cannot_ask(service: Any, origin: str) -> None:
    reply = service.http.post("/v1/chat/completions", json=QUESTION, headers={"origin": origin})
    assert reply.status_code == 403
    assert service.library.asked == []


def test_a_request_without_a_host_comes_from_no_page_of_ours(service: Any) -> None:
    host, port = urlsplit(service.url).hostname, urlsplit(service.url).port
    with socket.create_connection((host, port), timeout=60) as line:
        line.sendall(b"GET /v1/documents HTTP/1.1\r\nHost:\r\nOrigin: null\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 403")


def test_a_page_of_our_name_without_tls_is_not_ours(serving: Any) -> None:
    with serving(public_url="https://localhost/") as service:
        for origin, status in (("https://localhost", 200), ("http://localhost", 403)):
            headers = {"host": "localhost", "origin": origin}
            reply = service.http.post("/v1/chat/completions", json=QUESTION, headers=headers)
            assert reply.status_code == status, origin
        direct = {"origin": service.url}  # past the proxy that speaks TLS
        assert service.http.post("/v1/chat/completions", json=QUESTION, headers=direct).status_code == 200


def test_our_own_page_can_ask(service: Any) -> None:
    reply = service.http.post("/v1/chat/completions", json=QUESTION, headers={"origin": service.url})
    assert reply.status_code == 200


def test_a_request_that_another_site_makes_without_an_origin_is_refused(service: Any) -> None:
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert service.http.get("/v1/documents", headers=embedded).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert service.http.get("/", headers=link).status_code == 200


def test_a_body_over_the_limit_is_refused_before_it_is_read(serving: Any) -> None:
    with serving(max_body_bytes=1000) as service:
        reply = service.http.post("/v1/search", json={"query": "x" * 2000})
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "payload_too_large"


def test_a_body_without_a_length_is_counted_as_it_comes(serving: Any) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    with serving(max_body_bytes=1000) as service:
        assert service.http.post("/v1/search", content=pieces()).status_code == 413


def begun(url: str, path: str) -> socket.socket:
    """A request whose body is announced and does not come."""
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname, where.port), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 100\r\n\r\n{{"
    connection.sendall(head.encode())
    return connection


def test_strangers_who_send_no_body_keep_nobody_out(serving: Any) -> None:
    with serving(max_requests=1) as service, begun(service.url, "/healthz") as stranger:
        assert b" 405 " in stranger.recv(100)
        assert service.http.post("/v1/chat/completions", json=QUESTION).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_S", 0.05)
    with serving(max_requests=1) as service, begun(service.url, "/v1/chat/completions") as slow:
        assert b" 400 " in slow.recv(100)
        assert service.http.post("/v1/chat/completions", json=QUESTION).status_code == 200


@pytest.mark.parametrize("text", [r"\ud800", r"\uDC00 a", r"\ud83d\u0041", r"\\\udfff"])
def test_half_of_a_surrogate_pair_is_refused(service: Any, text: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "{text}"}}]}}'
    reply = service.http.post("/v1/chat/completions", content=body.encode(), headers=JSON)
    assert reply.status_code == 400
    assert "surrogate" in reply.json()["error"]["message"]
    assert service.library.asked == []


@pytest.mark.parametrize("text", [r"\ud83d\ude00 paid leave", r"\\ud800 paid leave", r"\u00e9 paid leave"])
def test_whole_pairs_and_escaped_backslashes_are_characters(service: Any, text: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "{text}"}}]}}'
    assert service.http.post("/v1/chat/completions", content=body.encode(), headers=JSON).status_code == 200


def test_with_a_key_only_its_holder_is_served(serving: Any) -> None:
    with serving(api_key="s3cret") as service:
        for header in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "Basic s3cret"},
            {"x-api-key": "wrong"},
            {"cookie": "rag_session=s3cret"},
        ):
            reply = service.http.post("/v1/chat/completions", json=QUESTION, headers=header)
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.json()["error"]["code"] == "invalid_api_key"
        for right in ({"authorization": "Bearer s3cret"}, {"x-api-key": "s3cret"}):
            assert service.http.post("/v1/chat/completions", json=QUESTION, headers=right).status_code == 200


def test_with_a_key_the_page_and_the_probes_stay_open_and_nothing_else(serving: Any) -> None:
    with serving(api_key="s3cret") as service:
        open_paths = ["/", "/healthz", "/readyz", "/web/app.js", "/session"]
        assert [service.http.get(path).status_code for path in open_paths] == [200] * 5
        assert {service.http.get(path).status_code for path in ("/login", "/callback")} == {404}
        shut = [
            "/v1/models",
            "/v1/documents",
            "/v1/status",
            "/openapi.json",
            "//v1/documents",
            "/web/../v1/models",
            "/v1/keys",
            "/v1/audit",
            "/v1/whoami",
            "/scim/v2/Users",
            "/nothing-here",
        ]
        assert {service.http.get(path).status_code for path in shut} == {401}


def test_every_path_that_is_not_open_asks_for_a_key(serving: Any) -> None:
    with serving(api_key="s3cret", sections={"limits": {"refusals_per_minute": 0}}) as service:
        right = {"authorization": "Bearer s3cret"}
        paths = service.http.get("/openapi.json", headers=right).json()["paths"]
        assert len(paths) > 15
        for path, verbs in paths.items():
            for verb in verbs:
                reply = service.http.request(verb, path.replace("{", "").replace("}", ""))
                # Where to sign in is told to strangers, if there is a place; here there is none.
                wanted = 404 if path.startswith("/.well-known/oauth-") else 401
                wanted = 200 if path in ("/healthz", "/readyz") else wanted
                assert reply.status_code == wanted, (verb, path)


def test_a_path_with_a_nul_is_refused(service: Any) -> None:
    assert service.http.get("/v1/documents/a%00b").status_code == 400


def test_what_changes_something_with_a_cookie_must_say_from_which_page(service: Any) -> None:
    accounts = service.accounts
    accounts.issue("svc", "default", "job")
    user = accounts.users.create("ann", "default")
    cookie = {"cookie": f"rag_session={accounts.sessions.open(user, lasts_s=60)}"}
    ask = partial(service.http.post, "/v1/chat/completions", json=QUESTION)
    assert service.http.get("/v1/whoami", headers=cookie).json()["user"] == "ann"
    assert ask(headers=cookie).status_code == 403
    assert ask(headers={**cookie, "sec-fetch-site": "cross-site"}).status_code == 403
    assert ask(headers={**cookie, "origin": "https://elsewhere.example"}).status_code == 403
    assert ask(headers={**cookie, "origin": service.url}).status_code == 200
    assert ask(headers={**cookie, "sec-fetch-site": "same-origin"}).status_code == 200


def test_a_wrong_and_an_unknown_key_get_the_same_reply(service: Any) -> None:
    _, shown = service.accounts.issue("ann", "acme", "laptop")
    replies = [
        service.http.get("/v1/whoami", headers={"x-api-key": wrong})
        for wrong in (shown + "x", "rag_ffffffffffff_" + "x" * 43, "anything")
    ]
    assert {reply.status_code for reply in replies} == {401}
    assert len({reply.text for reply in replies}) == 1


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/nothing-here"])
def test_every_response_carries_the_security_headers(service: Any, path: str) -> None:
    reply = service.http.get(path)
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    assert "server" not in reply.headers or reply.headers["server"] == "uvicorn"


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("x.example", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, verdict: bool) -> None:
    assert is_loopback(host) is verdict


def test_no_page_of_another_site_changes_anything_with_the_cookie_of_a_reader(service: Any) -> None:
    accounts = service.accounts
    _, shown = accounts.issue("root", "default", "first", role=Role.ADMIN)
    root = accounts.users.named("root", "default")
    cookie = {"cookie": f"rag_session={accounts.sessions.open(root, lasts_s=60)}"}
    document = service.http.get("/openapi.json", headers={"x-api-key": shown}).json()
    writes = [(verb, path) for path, verbs in document["paths"].items() for verb in set(verbs) - {"get"}]
    assert len(writes) > 25
    pages = [
        {},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
        {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"},
        {"origin": f"{service.url}.elsewhere.example", "sec-fetch-site": "same-origin"},
        {"origin": f"http://user@{service.url.removeprefix('http://')}"},
    ]
    # What a form can send without asking first.
    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    for verb, path in [*writes, ("post", "/logout"), ("post", "/mcp")]:
        where = re.sub(r"\{[^}]*\}", "x", path)
        for number, page in enumerate(pages):
            headers = {**cookie, **page, "content-type": kinds[number % len(kinds)]}
            reply = service.http.request(verb, where, headers=headers, content=b'{"name": "x", "user": "x"}')
            assert reply.status_code in (403, 429), (verb, path, page)
    assert service.http.get("/v1/whoami", headers=cookie).json()["user"] == "root"
    assert [each.name for each in accounts.users.all()] == ["root"]
    ours = {**cookie, "origin": service.url, "content-type": "text/plain"}
    body = b'{"name": "x", "user": "new"}'
    assert service.http.post("/v1/keys", headers=ours, content=body).status_code == 400
