"""Signing in with the page: a real server, a real provider, a client that keeps cookies as browsers do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest


@pytest.fixture
def signed(serving: Any, idp: Any) -> Iterator[Any]:
    oidc = {"issuer": idp.issuer, "client_id": "permafrost", "groups_claim": "teams"}
    with serving({"oidc": oidc, "limits": {"refusals_per_minute": 6}}) as service:
        yield service
        service.authentication.provider.close()


@contextlib.contextmanager
def sign_in(service: Any) -> Iterator[httpx.Client]:
    """A browser that has signed in."""
    headers = {"origin": service.url}
    with httpx.Client(base_url=service.url, timeout=60, headers=headers, trust_env=False) as browser:
        there = browser.get("/login")
        assert there.status_code == 303
        back = httpx.get(there.headers["location"], follow_redirects=False, trust_env=False)
        done = browser.get(back.headers["location"])
        assert (done.status_code, done.headers["location"]) == (303, "/")
        yield browser


def test_who_signs_in_has_a_session_with_his_groups_until_he_signs_out(signed: Any, idp: Any) -> None:
    idp.vouches = {"sub": "ann", "teams": ["legal"]}
    assert signed.http.get("/session").json() == {"sign_in": True}
    assert signed.http.get("/v1/whoami").status_code == 401
    with sign_in(signed) as browser:
        me = browser.get("/v1/whoami").json()
        assert (me["user"], me["groups"], me["rights"]) == ("ann", ["everyone", "legal"], ["ask"])
        assert me["key"].startswith("session-")
        cookie = dict(browser.cookies)
        assert browser.post("/logout").status_code == 204
        assert browser.get("/v1/whoami").status_code == 401
        stolen = {"cookie": f"rag_session={cookie['rag_session']}"}
        assert signed.http.get("/v1/whoami", headers=stolen).status_code == 401
    actions = [(row.action, row.actor) for row in signed.accounts.audit.latest() if row.outcome == "done"]
    assert actions == [("user.create", "sign-in"), ("session.open", "ann"), ("session.close", "ann")]


def test_the_session_ends_at_the_next_request_when_the_user_is_suspended(signed: Any) -> None:
    with sign_in(signed) as browser:
        user = signed.accounts.users.named("ann", "default")
        signed.accounts.users.suspend(user.id, "default")
        assert browser.get("/v1/whoami").status_code == 401
        signed.accounts.users.resume(user.id, "default")
        assert browser.get("/v1/whoami").status_code == 401  # he signs in again


def test_cookies_cannot_be_read_by_scripts_nor_sent_by_other_sites(signed: Any) -> None:
    there = signed.http.get("/login")
    pending = there.headers["set-cookie"]
    assert all(word in pending for word in ("HttpOnly", "SameSite=lax", "Path=/callback"))
    back = httpx.get(there.headers["location"], follow_redirects=False, trust_env=False)
    done = signed.http.get(back.headers["location"])
    session = next(each for each in done.headers.get_list("set-cookie") if each.startswith("rag_session"))
    assert all(word in session for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=28800"))
    assert "Secure" not in session


def test_behind_tls_cookies_never_leave_it_and_no_neighbour_can_plant_one(serving: Any, idp: Any) -> None:
    oidc = {"issuer": idp.issuer, "client_id": "permafrost"}
    with serving({"oidc": oidc}, public_url="https://kb.example.org/") as service:
        there = service.http.get("/login")
        assert "redirect_uri=https%3A%2F%2Fkb.example.org%2Fcallback" in there.headers["location"]
        assert "Secure" in there.headers["set-cookie"]
        back = httpx.get(there.headers["location"], follow_redirects=False, trust_env=False)
        pending = {"cookie": there.headers["set-cookie"].partition(";")[0]}
        done = service.http.get(f"/callback?{urlsplit(back.headers['location']).query}", headers=pending)
        session = next(each for each in done.headers.get_list("set-cookie") if "session=" in each)
        assert session.startswith("__Host-rag_session=") and "Secure" in session and "Path=/;" in session
        assert "Domain" not in session
        value = session.partition(";")[0].partition("=")[2]
        for name, status in (("__Host-rag_session", 200), ("rag_session", 401)):
            reply = service.http.get("/v1/whoami", headers={"cookie": f"{name}={value}"})
            assert reply.status_code == status, name
        leaving = {"cookie": f"__Host-rag_session={value}", "sec-fetch-site": "same-origin"}
        assert service.http.post("/logout", headers=leaving).status_code == 204
        assert service.http.get("/v1/whoami", headers=leaving).status_code == 401
        service.authentication.provider.close()


def test_a_code_from_another_browser_signs_nobody_in(signed: Any) -> None:
    there = httpx.get(f"{signed.url}/login", follow_redirects=False, trust_env=False)
    back = httpx.get(there.headers["location"], follow_redirects=False, trust_env=False)
    reply = signed.http.get(back.headers["location"])
    assert reply.status_code == 401
    assert "rag_session" not in reply.headers.get("set-cookie", "")
    assert signed.accounts.users.all() == []
    (row,) = signed.accounts.audit.latest()
    assert (row.action, row.actor, row.outcome) == ("GET callback", "nobody", "refused")


def test_a_sign_in_cannot_be_played_again_nor_leads_elsewhere(signed: Any) -> None:
    there = signed.http.get("/login", params={"next": "https://evil.example", "redirect_uri": "//evil"})
    assert there.headers["location"].startswith(f"{signed.authentication.provider.settings.issuer}/")
    back = httpx.get(there.headers["location"], follow_redirects=False, trust_env=False)
    # A session that an attacker planted in the browser before is not the one that it has afterwards.
    pending = there.headers["set-cookie"].partition(";")[0]
    planted = {"cookie": f"{pending}; rag_session=planted"}
    path = back.headers["location"].removeprefix(signed.url)
    done = signed.http.get(f"{path}&next=https://evil.example&redirect_uri=//evil", headers=planted)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert "planted" not in str(done.headers.get_list("set-cookie"))
    gone = next(each for each in done.headers.get_list("set-cookie") if each.startswith("rag_sign_in"))
    assert "Max-Age=0" in gone and "Path=/callback" in gone
    assert signed.http.get("/v1/whoami", headers={"cookie": "rag_session=planted"}).status_code == 401
    again = signed.http.get(path, headers=planted)
    assert again.status_code == 401 and "rag_session" not in again.headers.get("set-cookie", "")


def test_a_provider_that_says_no_signs_nobody_in(signed: Any) -> None:
    assert signed.http.get("/callback", params={"error": "access_denied", "state": "x"}).status_code == 401
    assert signed.http.get("/callback").status_code == 401


def test_signing_in_is_limited_by_address(signed: Any) -> None:
    codes = [signed.http.get("/login").status_code for _ in range(8)]
    assert codes == [303] * 6 + [429] * 2


def test_a_bearer_token_of_the_provider_works_without_a_session(signed: Any, idp: Any) -> None:
    token = {"authorization": f"Bearer {idp.token(sub='svc', teams=['data'])}"}
    assert signed.http.get("/v1/whoami", headers=token).json()["groups"] == ["data", "everyone"]
    refused = signed.http.get("/v1/whoami", headers={"authorization": f"Bearer {idp.token(aud='other')}"})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == (
        f'Bearer resource_metadata="{signed.url}/.well-known/oauth-protected-resource"'
    )


def test_without_a_provider_there_is_nothing_to_sign_in_to(service: Any) -> None:
    assert service.http.get("/session").json() == {"sign_in": False}
    assert service.http.get("/login").status_code == 404
    assert service.http.get("/v1/whoami").json()["owner"] is True
