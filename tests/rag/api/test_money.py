"""Budgets over HTTP: numbers are numbers."""

from __future__ import annotations

from typing import Any

import pytest

BUDGET = {"scope": "user", "subject": "ann", "limit": 5}


@pytest.mark.parametrize("wrong", [{"soft": True}, {"limit": True}, {"limit": "5"}, {"soft": "0.5"}])
def test_what_is_no_number_is_refused_by_name(wrong: dict[str, Any], service: Any) -> None:
    reply = service.http.put("/v1/budgets", json=BUDGET | wrong)
    assert reply.status_code == 400
    assert next(iter(wrong)) in reply.json()["error"]["message"]
    assert service.http.get("/v1/budgets").json()["budgets"] == []


def test_a_whole_number_is_one_too(service: Any) -> None:
    reply = service.http.put("/v1/budgets", json=BUDGET | {"soft": 1})
    assert reply.status_code == 200
    assert [each["budget"]["limit"] for each in reply.json()["budgets"]] == [5.0]
