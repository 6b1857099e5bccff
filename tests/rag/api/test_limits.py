from __future__ import annotations

from typing import Any

import httpx

from rag.accounts.tenants import Tenants


def limits(**settings: int) -> dict[str, Any]:
    return {"limits": settings}


def as_key(service: Any, user: str, tenant: str = "acme") -> httpx.Client:
    _, shown = service.accounts.issue(user, tenant, "test")
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {shown}"}, timeout=60)


def test_what_is_left_is_told_with_every_reply_and_then_429_with_a_time(serving: Any) -> None:
    with serving(limits(requests_per_minute=2)) as service, as_key(service, "ann") as ann:
        replies = [ann.get("/v1/whoami") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
        assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
        assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
        assert replies[2].json()["error"]["type"] == "rate_limit_error"
        assert 25 <= int(replies[2].headers["retry-after"]) <= 30


def test_one_noisy_tenant_does_not_hold_up_another(serving: Any) -> None:
    with (
        serving(limits(tenant_requests_per_minute=3)) as service,
        as_key(service, "ann") as ann,
        as_key(service, "bo") as bo,
        as_key(service, "cy", "globex") as cy,
    ):
        noisy = [who.get("/v1/whoami").status_code for who in (ann, bo, ann, bo)]
        assert noisy == [200, 200, 200, 429]
        assert cy.get("/v1/whoami").status_code == 200


def test_strangers_are_told_401_so_often_and_then_429_while_keys_still_work(serving: Any) -> None:
    with serving(limits(refusals_per_minute=3)) as service, as_key(service, "ann") as ann:
        strange = [service.http.get("/v1/whoami").status_code for _ in range(5)]
        assert strange == [401, 401, 401, 429, 429]
        assert ann.get("/v1/whoami").status_code == 200
        # Only what was told is written down, so a stranger cannot fill the disk.
        assert len(service.accounts.audit.latest()) == 3


def test_the_owner_of_the_home_is_not_limited(serving: Any) -> None:
    with serving(limits(requests_per_minute=1), api_key="s3cret") as service:
        right = {"authorization": "Bearer s3cret"}
        replies = [service.http.get("/v1/whoami", headers=right) for _ in range(5)]
        assert {reply.status_code for reply in replies} == {200}
        assert "x-ratelimit-limit-requests" not in replies[0].headers


def test_probes_and_the_page_are_never_limited(serving: Any) -> None:
    with serving(limits(refusals_per_minute=1), api_key="s3cret") as service:
        for path in ("/healthz", "/", "/web/app.js") * 4:
            assert service.http.get(path).status_code == 200


def test_an_upload_is_refused_before_it_is_read_when_the_tenant_is_full(serving: Any) -> None:
    with serving(limits(tenant_bytes=100)) as service, as_key(service, "ann") as ann:
        files = {"file": ("a.txt", b"x" * 200)}
        reply = ann.post("/v1/documents", files=files)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "quota_exceeded")


def test_a_full_tenant_may_replace_what_it_has_and_add_nothing(house: Any) -> None:
    house.live("full", rules__txt="The first rule is short.")
    tenants = Tenants(house.system.catalog.database, house.system.settings.limits)
    tenants.limit("default", documents=1)
    try:
        house.live("full", rules__txt="The second rule is longer than the first.")
        reply = house.http.post(
            "/v1/documents", files={"file": ("more.txt", b"More.")}, data={"collection": "full"}
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "quota_exceeded")
    finally:
        tenants.limit("default", documents=None)


def test_prompt_tokens_of_an_answer_count_against_the_limit(serving: Any, library: Any) -> None:
    question = {"messages": [{"role": "user", "content": "How many days of paid leave?"}]}
    with serving(limits(tokens_per_minute=50)) as service, as_key(service, "ann") as ann:
        replies = [ann.post("/v1/chat/completions", json=question) for _ in range(3)]
        # Each takes forty: the second one goes into debt, the third one waits for that.
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert replies[0].headers["x-ratelimit-limit-tokens"] == "50"
        assert len(library.asked) == 2
