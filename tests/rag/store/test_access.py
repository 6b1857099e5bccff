"""The filter lets through exactly what a reader may see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import BadRequest
from rag.store.access import Access, access_filter
from rag.types import Principal

NAMES = st.sampled_from(["a", "b", "A", "a ", "everyone", ""])
GROUPS = st.lists(NAMES, max_size=3).map(tuple)
ACCESSES = st.builds(
    Access,
    tenant=st.sampled_from(["a", "b", "A"]),
    groups=GROUPS,
    collections=st.none() | GROUPS,
    hidden=st.lists(st.integers(0, 3), max_size=3).map(tuple),
)
PAYLOADS = st.fixed_dictionaries(
    {"tenant": NAMES, "groups": GROUPS.map(list), "collection": NAMES, "version": st.integers(0, 3)}
)


def holds(condition: dict[str, Any], payload: dict[str, Any]) -> bool:
    """Qdrant's meaning of one condition."""
    value = payload[condition["key"]]
    values = value if isinstance(value, list) else [value]
    match = condition["match"]
    return any(each in match["any"] if "any" in match else each == match["value"] for each in values)


@given(ACCESSES, PAYLOADS)
def test_a_point_passes_exactly_when_the_reader_may_see_it(access: Access, payload: dict[str, Any]) -> None:
    wanted = access_filter(access)
    passes = all(holds(each, payload) for each in wanted["must"]) and not any(
        holds(each, payload) for each in wanted["must_not"]
    )
    assert passes == (
        payload["tenant"] == access.tenant
        and bool(set(payload["groups"]) & set(access.groups))
        and (access.collections is None or payload["collection"] in access.collections)
        and payload["version"] not in access.hidden
    )


def test_no_tenant_no_filter() -> None:
    with pytest.raises(BadRequest, match="needs a tenant"):
        access_filter(Access("", ("everyone",)))


@pytest.mark.parametrize(
    ("allowed", "asked", "searched"),
    [
        (None, None, None),
        (None, "a", ("a",)),
        (("a",), None, ("a",)),
        (("a",), "a", ("a",)),
        (("a",), "b", ()),
    ],
)
def test_a_collection_that_is_not_allowed_is_not_searched(
    allowed: tuple[str, ...] | None, asked: str | None, searched: tuple[str, ...] | None
) -> None:
    assert Access.of(Principal(collections=allowed), collection=asked).collections == searched


def test_access_survives_the_pipe() -> None:
    access = Access.of(Principal("acme", ("staff",)), collection="c", hidden=[4, 5])
    assert Access(**access.wire()) == access
