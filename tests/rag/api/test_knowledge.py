from __future__ import annotations

from typing import Any

from rag.accounts.roles import Role


def test_a_search_returns_passages_with_the_score_of_each_leg(service: Any) -> None:
    reply = service.http.post("/v1/search", json={"query": "hotels at night", "limit": 3}).json()
    best = reply["passages"][0]
    assert best["title"] == "Travel"
    assert (best["score"], best["dense"], best["sparse"]) == (0.5, 0.4, 3.0)
    assert best["chunk"]["text"] == "Hotels are paid up to 140 euros a night."


def test_a_misspelt_search_field_is_an_error_that_names_it(service: Any) -> None:
    reply = service.http.post("/v1/search", json={"query": "hotels", "colection": "handbook"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "colection"


def test_an_unknown_collection_is_told_with_those_there_are(service: Any) -> None:
    reply = service.http.post("/v1/search", json={"query": "hotels", "collection": "recipes"})
    assert reply.status_code == 404
    assert reply.json()["error"]["message"] == "no collection 'recipes'; have handbook"


def test_documents_are_listed_by_collection(service: Any) -> None:
    listed = service.http.get("/v1/documents", params={"collection": "handbook"}).json()["documents"]
    assert [document["title"] for document in listed] == ["Leave", "Travel", "Kitchen"]
    assert service.http.get("/v1/documents", params={"collection": "other"}).json()["documents"] == []


def test_the_status_counts_and_holds_no_configuration(service: Any) -> None:
    status = service.http.get("/v1/status").json()
    assert status["documents"] == {"live": 3}
    assert status["points"] == 3
    assert set(status) == {"version", "documents", "points", "embedder", "model", "model_sha256"}


def test_the_points_of_all_tenants_are_told_to_operators_only(serving: Any) -> None:
    with serving() as service:
        told = {}
        for role in (Role.READER, Role.OPERATOR):
            _, shown = service.accounts.issue(role.value, "acme", "test", role=role)
            headers = {"authorization": f"Bearer {shown}"}
            told[role] = service.http.get("/v1/status", headers=headers).json()["points"]
        assert told == {Role.READER: None, Role.OPERATOR: 3}


def test_a_path_that_is_not_there_is_an_error_object(service: Any) -> None:
    reply = service.http.get("/v1/nothing")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"
    assert service.http.get("/v1/search").status_code == 405
