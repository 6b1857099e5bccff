"""What Okta and Entra send to keep users and groups in step, and what it changes at the next request."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from rag.accounts.roles import Role
from rag.store.jobs import Jobs
from rag.store.tables import documents
from rag.types import Principal

OKTA_OFF = {"Operations": [{"op": "replace", "value": {"active": False}}]}
ENTRA_OFF = {"Operations": [{"op": "Replace", "path": "active", "value": "False"}]}


def client(service: Any, shown: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {shown}"}, timeout=60)


@pytest.fixture
def admin(service: Any) -> Any:
    _, shown = service.accounts.issue("root", "acme", "scim", role=Role.ADMIN)
    with client(service, shown) as http:
        http.headers["content-type"] = "application/scim+json"
        yield http


@pytest.fixture
def ann(admin: httpx.Client) -> dict[str, Any]:
    reply = admin.post(
        "/scim/v2/Users",
        json={
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "ann@acme.example",
            "name": {"givenName": "Ann", "familyName": "Other"},
            "emails": [{"primary": True, "value": "ann@acme.example", "type": "work"}],
            "externalId": "00u1",
            "active": True,
        },
    )
    assert reply.status_code == 201, reply.text
    assert reply.headers["content-type"] == "application/scim+json"
    made: dict[str, Any] = reply.json()
    return made


@pytest.fixture
def of_ann(service: Any, ann: dict[str, Any]) -> Any:
    """A connection with a key of hers."""
    _, shown = service.accounts.keys.create(ann["id"], "acme", "laptop")
    with client(service, shown) as http:
        yield http


def groups_of(who: httpx.Client) -> list[str]:
    found: list[str] = who.get("/v1/whoami").json()["groups"]
    return found


def test_a_user_is_found_by_name_as_providers_ask(admin: httpx.Client, ann: dict[str, Any]) -> None:
    found = admin.get("/scim/v2/Users", params={"filter": 'userName eq "ANN@acme.example"'}).json()
    assert (found["totalResults"], found["Resources"][0]["id"]) == (1, ann["id"])
    assert found["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    none = admin.get("/scim/v2/Users", params={"filter": 'userName eq "nobody"'}).json()
    assert (none["totalResults"], none["Resources"]) == (0, [])
    assert admin.get("/scim/v2/Users", params={"filter": 'name co "a"'}).status_code == 400
    paged = admin.get("/scim/v2/Users", params={"startIndex": 2, "count": 1}).json()
    assert (paged["totalResults"], paged["itemsPerPage"]) == (2, 1)


def test_a_user_who_is_there_already_is_told_with_409(admin: httpx.Client, ann: dict[str, Any]) -> None:
    reply = admin.post("/scim/v2/Users", json={"userName": "ann@acme.example"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "already_exists")


@pytest.mark.parametrize("off", [OKTA_OFF, ENTRA_OFF])
def test_a_user_who_is_not_active_is_refused_at_the_next_request(
    admin: httpx.Client, ann: dict[str, Any], of_ann: httpx.Client, off: dict[str, Any]
) -> None:
    assert of_ann.get("/v1/whoami").status_code == 200
    assert admin.patch(f"/scim/v2/Users/{ann['id']}", json=off).json()["active"] is False
    assert of_ann.get("/v1/whoami").status_code == 401
    body = {"userName": "ann@acme.example", "active": True}
    assert admin.put(f"/scim/v2/Users/{ann['id']}", json=body).json()["active"] is True
    assert of_ann.get("/v1/whoami").status_code == 200


def test_a_user_who_is_deleted_is_suspended_and_in_no_group(
    admin: httpx.Client, ann: dict[str, Any], of_ann: httpx.Client, service: Any
) -> None:
    assert admin.delete(f"/scim/v2/Users/{ann['id']}").status_code == 204
    assert of_ann.get("/v1/whoami").status_code == 401
    assert service.accounts.users.groups(ann["id"]) == ()


def test_who_gets_the_name_of_a_renamed_user_finds_nothing_of_his(
    admin: httpx.Client, ann: dict[str, Any], of_ann: httpx.Client, service: Any, library: Any
) -> None:
    made = of_ann.post("/v1/conversations", json={"title": "my illness"}).json()["id"]
    service.accounts.users.change(ann["id"], "acme", role=Role.CONTRIBUTOR)
    run = Jobs(library.database).start(Principal("acme", user="ann@acme.example"), "default", "", {"n": 1})
    row = {"uri": "u", "sha256": "", "recipe": "", "groups": [], "state": "live", "reason": "", "attempts": 0}
    named = {"id": "doc", "tenant": "acme", "collection": "default", "owner": "ann@acme.example"}
    with library.database.writing() as connection:
        connection.execute(insert(documents).values(row | named | {"size_bytes": 0}))
    renamed = {"Operations": [{"op": "replace", "path": "userName", "value": "ann@new.example"}]}
    assert admin.patch(f"/scim/v2/Users/{ann['id']}", json=renamed).status_code == 200
    second = admin.post("/scim/v2/Users", json={"userName": "ann@acme.example"}).json()
    service.accounts.users.change(second["id"], "acme", role=Role.CONTRIBUTOR)
    _, shown = service.accounts.keys.create(second["id"], "acme", "laptop")
    with client(service, shown) as other:
        assert other.get("/v1/conversations").json()["conversations"] == []
        assert other.get(f"/v1/conversations/{made}").status_code == 404
        assert other.get(f"/v1/jobs/{run}").status_code == 404
    (kept,) = of_ann.get("/v1/conversations").json()["conversations"]
    assert (kept["id"], kept["title"]) == (made, "my illness")
    with library.database.reading() as connection:
        assert connection.execute(select(documents.c.owner)).scalars().all() == ["ann@new.example"]
    assert of_ann.get(f"/v1/jobs/{run}").json()["wanted"] == {"n": 1, "user": "ann@new.example"}


def test_okta_adds_and_removes_a_member_and_both_act_at_once(
    admin: httpx.Client, ann: dict[str, Any], of_ann: httpx.Client
) -> None:
    made = admin.post("/scim/v2/Groups", json={"displayName": "legal", "members": []}).json()
    path = f"/scim/v2/Groups/{made['id']}"
    add = {"op": "add", "path": "members", "value": [{"value": ann["id"], "display": "Ann"}]}
    assert admin.patch(path, json={"Operations": [add]}).json()["members"][0]["value"] == ann["id"]
    assert groups_of(of_ann) == ["everyone", "legal"]
    remove = {"op": "remove", "path": f'members[value eq "{ann["id"]}"]'}
    assert admin.patch(path, json={"Operations": [remove]}).json()["members"] == []
    assert groups_of(of_ann) == ["everyone"]
    rename = {"op": "replace", "value": {"id": made["id"], "displayName": "law"}}
    assert admin.patch(path, json={"Operations": [rename]}).json()["displayName"] == "law"


def test_entra_adds_and_removes_a_member_and_replaces_them_all(
    admin: httpx.Client, ann: dict[str, Any], of_ann: httpx.Client
) -> None:
    made = admin.post("/scim/v2/Groups", json={"displayName": "legal", "externalId": "8aa1"}).json()
    path = f"/scim/v2/Groups/{made['id']}"
    someone = [{"value": ann["id"]}]
    for op, value, then in (
        ("Add", someone, ["everyone", "legal"]),
        ("Remove", someone, ["everyone"]),
        ("Replace", someone, ["everyone", "legal"]),
        ("Replace", [], ["everyone"]),
    ):
        body = {"Operations": [{"op": op, "path": "members", "value": value}]}
        assert admin.patch(path, json=body).status_code == 200
        assert groups_of(of_ann) == then, op
    assert admin.put(path, json={"displayName": "legal", "members": someone}).status_code == 200
    assert groups_of(of_ann) == ["everyone", "legal"]
    found = admin.get(
        "/scim/v2/Groups", params={"filter": 'displayName eq "Legal"', "excludedAttributes": "members"}
    ).json()["Resources"]
    assert [each["externalId"] for each in found] == ["8aa1"] and "members" not in found[0]
    assert admin.delete(path).status_code == 204
    assert groups_of(of_ann) == ["everyone"]
    assert admin.get(path).status_code == 404


def test_several_operations_are_all_done_or_none(admin: httpx.Client, ann: dict[str, Any]) -> None:
    made = admin.post("/scim/v2/Groups", json={"displayName": "legal"}).json()
    path = f"/scim/v2/Groups/{made['id']}"
    good = {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
    bad = {"op": "add", "path": "members", "value": [{"value": "user-nobody"}]}
    assert admin.patch(path, json={"Operations": [good, bad]}).status_code == 404
    assert admin.get(path).json()["members"] == []


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "fly"},
        {"op": "add", "value": "x"},
        {"op": "add", "path": "members", "value": ["x"]},
        {"op": "add", "path": "members", "value": "x"},
        {"op": "replace", "path": "displayName", "value": 7},
        {"op": "replace", "path": "displayName", "value": "a\nb"},
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(admin: httpx.Client, operation: dict[str, Any]) -> None:
    made = admin.post("/scim/v2/Groups", json={"displayName": "legal"}).json()
    assert admin.patch(f"/scim/v2/Groups/{made['id']}", json={"Operations": [operation]}).status_code == 400


def test_groups_and_users_of_another_tenant_are_not_there(service: Any, admin: httpx.Client) -> None:
    other = service.accounts.groups.create("legal", "globex")
    gil = service.accounts.users.create("gil", "globex")
    assert admin.get("/scim/v2/Groups").json()["totalResults"] == 1  # everyone
    replies = [
        admin.get(f"/scim/v2/Groups/{other.id}"),
        admin.delete(f"/scim/v2/Groups/{other.id}"),
        admin.put(f"/scim/v2/Groups/{other.id}", json={"displayName": "mine"}),
        admin.patch(f"/scim/v2/Users/{gil.id}", json=OKTA_OFF),
        admin.delete(f"/scim/v2/Users/{gil.id}"),
        admin.post("/scim/v2/Groups", json={"displayName": "x", "members": [{"value": gil.id}]}),
    ]
    assert [reply.status_code for reply in replies] == [404] * 6
    assert not service.accounts.users.get(gil.id, "globex").suspended


def test_what_the_provider_changes_is_in_the_audit_log(
    service: Any, admin: httpx.Client, ann: dict[str, Any]
) -> None:
    admin.patch(f"/scim/v2/Users/{ann['id']}", json=OKTA_OFF)
    rows = [(row.action, row.object) for row in service.accounts.audit.latest()]
    assert rows == [("users.create", ann["id"]), ("users.change", ann["id"])]
