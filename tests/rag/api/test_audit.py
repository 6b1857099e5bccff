from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from rag.accounts.roles import Role
from rag.api.deeds import shown, told


def client(service: Any, user: str, role: Role, tenant: str = "acme") -> httpx.Client:
    _, key = service.accounts.issue(user, tenant, "test", role=role)
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {key}"}, timeout=60)


def test_an_auditor_reads_the_rows_of_his_tenant_page_by_page(service: Any) -> None:
    for tenant in ("acme", "globex", "acme", "acme"):
        service.accounts.audit.record("x", "somebody", tenant=tenant)
    with client(service, "ida", Role.AUDITOR) as ida:
        first = ida.get("/v1/audit", params={"limit": 2}).json()
        second = ida.get("/v1/audit", params={"limit": 2, "after": first["next"]}).json()
    seen = [(row["seq"], row["tenant"]) for page in (first, second) for row in page["rows"]]
    assert seen[:3] == [(1, "acme"), (3, "acme"), (4, "acme")]
    assert second["rows"][1]["action"] == "audit.read"  # reading it is in it too


def test_whoever_is_no_auditor_is_refused_and_that_is_written_down(service: Any) -> None:
    with client(service, "ann", Role.CURATOR) as ann:
        assert ann.get("/v1/audit").status_code == 403
    (row,) = service.accounts.audit.latest()
    assert (row.action, row.object, row.actor, row.outcome) == ("GET audit", "/v1/audit", "ann", "refused")


def test_a_stranger_is_written_down_as_nobody(serving: Any) -> None:
    with serving(api_key="s3cret") as service:
        service.http.get("/v1/documents", headers={"authorization": "Bearer not-the-secret"})
        service.http.get("/v1/documents", headers={"origin": "https://elsewhere.example"})
        rows = service.accounts.audit.latest()
        assert [(row.actor, row.outcome) for row in rows] == [("nobody", "refused")] * 2
        assert "not-the-secret" not in str(rows)


def test_an_edited_chain_is_told_over_http(service: Any) -> None:
    service.accounts.audit.record("x", "somebody")
    with client(service, "ida", Role.AUDITOR) as ida:
        assert ida.get("/v1/audit/verify").json()["problem"] == ""
        with service.library.database.writing() as connection:
            connection.execute(text("UPDATE audit SET actor = 'other' WHERE seq = 1"))
        assert ida.get("/v1/audit/verify").json()["problem"].startswith("row 1 is not what was written")


def test_a_question_is_in_no_row(service: Any) -> None:
    with client(service, "ann", Role.READER) as ann:
        body = {"messages": [{"role": "user", "content": "paid leave heliotrope"}]}
        assert ann.post("/v1/chat/completions", json=body).status_code == 200
        assert ann.post("/v1/search", json={"query": "heliotrope"}).status_code == 200
    assert service.accounts.audit.latest() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "action", "object"),
    [
        ("POST", "/v1/documents", 202, "documents.create", ""),
        ("DELETE", "/v1/documents/doc-1", 200, "documents.delete", "doc-1"),
        ("POST", "/v1/jobs/job-1/cancel", 200, "jobs.cancel", "job-1"),
        ("PUT", "/v1/budgets/b-1", 200, "budgets.replace", "b-1"),
        ("PATCH", "/scim/v2/Groups/g-1", 200, "groups.change", "g-1"),
        ("POST", "/v1/conversations/c-1/share", 200, "conversations.share", "c-1"),
        ("DELETE", "/v1/conversations/c-1/share", 200, "conversations.share.delete", "c-1"),
        ("GET", "/v1/documents/doc-1/content", 200, "documents.read", "doc-1"),
        ("DELETE", "/v1/documents/doc-1", 500, "documents.delete", "doc-1"),
        ("POST", "/v1/chat/completions", 403, "POST chat", "/v1/chat/completions"),
    ],
)
def test_changes_exports_and_refusals_are_told(
    method: str, path: str, status: int, action: str, object: str
) -> None:
    found = told({"method": method, "path": path}, status)
    assert found is not None
    assert (found.action, found.object) == (action, object)
    assert found.outcome == {403: "refused", 500: "failed"}.get(status, "done")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/documents/doc-1", 200),
        ("POST", "/v1/chat/completions", 200),
        ("DELETE", "/v1/documents/doc-1", 404),
        ("POST", "/v1/conversations", 201),
        ("GET", "/", 200),
    ],
)
def test_reading_asking_and_mistakes_are_not(method: str, path: str, status: int) -> None:
    assert told({"method": method, "path": path}, status) is None


def test_a_path_cannot_forge_a_line_of_the_log() -> None:
    assert shown("/v1/x\r\n\x1b[2Jowner did it" + "y" * 500) == ("/v1/x???[2Jowner did it" + "y" * 500)[:200]
