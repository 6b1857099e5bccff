from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from rag.accounts.keys import Limits
from rag.accounts.roles import Role
from rag.types import Right


def client(service: Any, shown: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {shown}"}, timeout=60)


@pytest.fixture
def admin(service: Any) -> Any:
    _, shown = service.accounts.issue("root", "acme", "admin", role=Role.ADMIN)
    with client(service, shown) as http:
        yield http


def test_a_key_is_shown_once_and_works_and_is_refused_right_after_its_revocation(
    service: Any, admin: httpx.Client
) -> None:
    body = {"name": "laptop", "user": "ann", "role": "contributor", "groups": ["legal"]}
    made = admin.post("/v1/keys", json=body)
    assert made.status_code == 201
    shown, about = made.json()["key"], made.json()["about"]
    assert shown.startswith(f"rag_{about['id']}_")
    with client(service, shown) as ann:
        assert ann.get("/v1/whoami").json() == {
            "user": "ann",
            "tenant": "acme",
            "groups": ["legal"],
            "rights": ["ask", "write"],
            "collections": None,
            "key": about["id"],
            "owner": False,
        }
        listed = admin.get("/v1/keys")
        assert shown not in listed.text and about["id"] in listed.text
        assert admin.delete(f"/v1/keys/{about['id']}").json()["revoked_at"]
        assert ann.get("/v1/whoami").status_code == 401


def test_only_an_administrator_makes_lists_and_revokes_keys(service: Any, admin: httpx.Client) -> None:
    for role in set(Role) - {Role.ADMIN}:
        key, shown = service.accounts.issue(f"a-{role}", "acme", "test", role=role)
        with client(service, shown) as other:
            replies = [
                other.get("/v1/keys"),
                other.post("/v1/keys", json={"name": "x", "user": "x"}),
                other.delete(f"/v1/keys/{key.id}"),
                other.get("/scim/v2/Users"),
            ]
        assert [reply.status_code for reply in replies] == [403] * 4, role
        assert replies[0].json()["error"]["code"] == "permission_denied"


def test_nobody_grants_a_right_that_he_has_not(service: Any, admin: httpx.Client) -> None:
    limits = Limits(frozenset({Right.ADMIN, Right.ASK}), collections=["handbook"])
    _, shown = service.accounts.issue("root", "acme", "half", limits=limits)
    with client(service, shown) as half:
        refused = [
            {"name": "x", "user": "new", "role": "admin", "collections": ["handbook"]},
            {"name": "x", "collections": ["handbook"]},
            {"name": "x", "user": "new"},
            {"name": "x", "user": "new", "collections": ["handbook", "secret"]},
        ]
        assert [half.post("/v1/keys", json=body).status_code for body in refused] == [403] * 4
        good = {"name": "x", "user": "new", "role": "reader", "collections": ["handbook"]}
        assert half.post("/v1/keys", json=good).status_code == 201
    assert [user.name for user in service.accounts.users.all("acme")] == ["new", "root"]


def test_a_key_makes_none_that_reads_more_or_lasts_longer(service: Any, admin: httpx.Client) -> None:
    user = service.accounts.users.named("root", "acme")
    service.accounts.groups.put_in(user.id, "acme", ["legal", "board"])
    limits = Limits(groups=["legal", "sales"], expires_at=time.time() + 600)
    _, shown = service.accounts.issue("root", "acme", "visitor", limits=limits)
    with client(service, shown) as visitor:
        assert visitor.get("/v1/whoami").json()["groups"] == ["legal"]
        soon = {"name": "x", "expires_in_s": 60}
        refused = [
            soon,  # for himself, without limits
            {**soon, "groups": []},
            {**soon, "groups": ["legal", "board"]},
            {**soon, "user": "new"},
            {**soon, "user": "new", "groups": ["board"]},
            {"name": "x", "groups": ["legal"]},
            {"name": "x", "groups": ["legal"], "expires_in_s": 700},
        ]
        assert [visitor.post("/v1/keys", json=body).status_code for body in refused] == [403] * 7
        for user in ("root", "new"):
            made = visitor.post("/v1/keys", json={**soon, "user": user, "groups": ["legal"]})
            assert made.status_code == 201, made.text
            with client(service, made.json()["key"]) as theirs:
                assert theirs.get("/v1/whoami").json()["groups"] == ["legal"]


def test_an_administrator_sees_and_touches_keys_of_his_tenant_only(service: Any, admin: httpx.Client) -> None:
    other, shown = service.accounts.issue("gil", "globex", "laptop")
    assert other.id not in admin.get("/v1/keys").text
    assert admin.delete(f"/v1/keys/{other.id}").status_code == 404
    assert admin.post("/v1/keys", json={"name": "x", "user": "gil", "tenant": "globex"}).status_code == 403
    with client(service, shown) as gil:
        assert gil.get("/v1/whoami").status_code == 200


def test_the_owner_makes_keys_for_any_tenant(serving: Any) -> None:
    with serving(api_key="s3cret") as service, client(service, "s3cret") as owner:
        made = owner.post("/v1/keys", json={"name": "x", "user": "gil", "tenant": "globex"}).json()
        assert made["about"]["tenant"] == "globex"
        assert owner.get("/v1/whoami").json()["owner"] is True
        assert owner.post("/v1/keys", json={"name": "x"}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x\ny"},
        {"name": "x", "user": "a\u0000b"},
        {"name": "x", "user": "\ud800"},
        {"name": "x", "role": "king"},
        {"name": "x", "rights": ["fly"]},
        {"name": "x", "groups": ["a\nb"]},
        {"name": "x", "expires_in_s": 0},
        {"name": "x", "other": 1},
    ],
)
def test_a_key_that_makes_no_sense_is_refused_with_the_reason(admin: httpx.Client, body: Any) -> None:
    import json

    reply = admin.post("/v1/keys", content=json.dumps(body), headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


def test_making_and_revoking_a_key_is_in_the_audit_log(service: Any, admin: httpx.Client) -> None:
    made = admin.post(
        "/v1/keys", json={"name": "x", "user": "ann"}, headers={"x-request-id": "req-7"}
    ).json()["about"]
    admin.delete(f"/v1/keys/{made['id']}")
    rows = service.accounts.audit.latest(limit=2)
    assert [(row.action, row.object, row.actor, row.outcome) for row in rows] == [
        ("keys.create", made["id"], "root", "done"),
        ("keys.delete", made["id"], "root", "done"),
    ]
    assert rows[0].request_id == "req-7"
