from __future__ import annotations

from typing import Any

import pytest

from rag.accounts.accounts import Accounts
from rag.accounts.limits import Buckets, span
from rag.accounts.tenants import Quota, Tenants
from rag.errors import QuotaExceeded
from rag.settings import LimitsSettings
from rag.store.catalog import Catalog
from rag.store.queue import Listed, Queue, Shelf
from rag.types import Principal

ANN = Principal(tenant="acme", user="ann", key="k1")
BO = Principal(tenant="acme", user="bo", key="k2")


def buckets(clock: Any, **settings: int) -> Buckets:
    return Buckets(LimitsSettings(**settings), clock=clock)


def test_a_key_gets_its_requests_of_a_minute_and_then_waits_for_the_next_one(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=3)
    waits = [ours.admit(ours.of(ANN, Quota())) for _ in range(4)]
    assert waits == [0, 0, 0, 20]
    clock.now += 20
    assert ours.admit(ours.of(ANN, Quota())) == 0
    assert ours.admit(ours.of(ANN, Quota())) == 20


def test_one_key_does_not_use_up_what_another_has(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=1)
    assert ours.admit(ours.of(ANN, Quota())) == 0
    assert ours.admit(ours.of(ANN, Quota())) > 0
    assert ours.admit(ours.of(BO, Quota())) == 0


def test_a_tenant_shares_its_requests_and_another_tenant_is_not_held_up(clock: Any) -> None:
    ours, quota = buckets(clock, requests_per_minute=0), Quota(requests_per_minute=2)
    assert [ours.admit(ours.of(who, quota)) for who in (ANN, BO)] == [0, 0]
    assert ours.admit(ours.of(BO, quota)) == 30
    other = Principal(tenant="globex", user="ann", key="k3")
    assert ours.admit(ours.of(other, quota)) == 0


def test_a_request_that_waits_takes_nothing(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=1)
    ours.admit(ours.of(ANN, Quota()))
    for _ in range(50):
        assert ours.admit(ours.of(ANN, Quota())) == 60


def test_prompt_tokens_are_charged_afterwards_and_the_next_request_waits(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=0, tokens_per_minute=600)
    allowance = ours.of(ANN, Quota())
    assert ours.admit(allowance) == 0
    allowance.charge(900)
    assert ours.admit(ours.of(ANN, Quota())) == pytest.approx(30.1)
    assert allowance.headers()["x-ratelimit-remaining-tokens"] == "0"
    clock.now += 31
    assert ours.admit(ours.of(ANN, Quota())) == 0


def test_the_headers_are_of_the_limit_that_is_reached_first(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=100, tokens_per_minute=1000)
    allowance = ours.of(ANN, Quota(requests_per_minute=10))
    ours.admit(allowance)
    assert allowance.headers() == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "1000",
        "x-ratelimit-reset-tokens": "0ms",
    }


def test_an_address_that_is_not_let_in_is_told_so_only_so_often(clock: Any) -> None:
    ours = buckets(clock, refusals_per_minute=2)
    waits = [ours.admit(ours.refusals("10.0.0.7")) for _ in range(3)]
    assert waits == [0, 0, 30]
    assert ours.admit(ours.refusals("10.0.0.8")) == 0


def test_without_limits_there_is_nothing_to_tell(clock: Any) -> None:
    ours = buckets(clock, requests_per_minute=0)
    allowance = ours.of(ANN, Quota())
    assert (ours.admit(allowance), allowance.headers()) == (0, {})


@pytest.mark.parametrize(("seconds", "words"), [(0.12, "120ms"), (1, "1s"), (59.6, "1m0s"), (372, "6m12s")])
def test_spans_are_written_as_openai_writes_them(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_tenant_has_its_own_quota_or_that_of_the_settings(accounts: Accounts, database: Any) -> None:
    tenants = Tenants(database, LimitsSettings(tenant_documents=5, tenant_requests_per_minute=9))
    tenants.limit("acme", documents=2)
    assert tenants.quota("acme") == Quota(requests_per_minute=9, documents=2)
    assert tenants.limit("acme", requests_per_minute=0).requests_per_minute == 0
    assert tenants.quota("acme").documents == 2
    assert tenants.quota("globex") == Quota(requests_per_minute=9, documents=5)


def test_a_tenant_that_is_full_takes_no_more_documents(database: Any, tmp_path: Any) -> None:
    catalog = Catalog(tmp_path)
    acme = Principal(tenant="acme")
    Queue(catalog.database).enqueue(
        [Listed(f"/{number}", "x", 400, f"{number}") for number in range(2)],
        Shelf.of(acme, "default", ("everyone",), "1"),
    )
    catalog.close()
    tenants = Tenants(database, LimitsSettings(tenant_documents=3, tenant_bytes=1000))
    tenants.check_room("acme", 200)
    with pytest.raises(QuotaExceeded, match="holds 800 bytes and may hold 1000"):
        tenants.check_room("acme", 201)
    tenants.limit("acme", documents=2)
    with pytest.raises(QuotaExceeded, match="holds 2 documents and may hold 2"):
        tenants.check_room("acme", 1)
    tenants.check_room("globex", 900)
    tenants.check_size("acme", 1000)
    with pytest.raises(QuotaExceeded, match="1001 bytes are more than the 1000"):
        tenants.check_size("acme", 1001)
