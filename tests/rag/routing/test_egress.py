from __future__ import annotations

import pytest

from rag.errors import EgressDenied
from rag.routing.egress import EgressPolicy, Material
from rag.settings import EgressSettings
from rag.types import Document, DocumentState, Principal

ANNA = Principal(tenant="acme")
OPEN = Material("acme", "public")


def policy(**given: object) -> EgressPolicy:
    return EgressPolicy("outside", EgressSettings(**given))  # type: ignore[arg-type]


ALLOWED = {"tenants": ("acme",), "collections": ("public",)}


def test_nothing_leaves_by_default() -> None:
    verdict = policy().may_leave(ANNA, [OPEN])
    assert not verdict.allowed
    assert verdict.reason == "no collection may leave; see tiers.outside.egress"
    assert not policy().may_leave(ANNA, []).allowed


def test_what_is_named_may_leave() -> None:
    verdict = policy(**ALLOWED).may_leave(ANNA, [OPEN, OPEN])
    assert (verdict.allowed, verdict.collections, verdict.labels) == (True, ("public",), ())


@pytest.mark.parametrize(
    ("given", "principal", "material", "reason"),
    [
        ({"collections": ("*",)}, ANNA, OPEN, "tenant 'acme'"),
        (ALLOWED, Principal(tenant="rival"), OPEN, "questions of tenant 'rival'"),
        (ALLOWED, ANNA, Material("rival", "public"), "documents of tenant 'rival'"),
        (ALLOWED, ANNA, Material("acme", "board"), "collection 'board'"),
        (ALLOWED, ANNA, Material("acme", "public", ("secret",)), "labelled 'secret'"),
        (
            ALLOWED | {"labels": ("press",)},
            ANNA,
            Material("acme", "public", ("press", "hr")),
            "labelled 'hr'",
        ),
    ],
)
def test_one_thing_that_is_not_named_forbids_all(
    given: dict[str, object], principal: Principal, material: Material, reason: str
) -> None:
    verdict = policy(**given).may_leave(principal, [OPEN, material])
    assert not verdict.allowed
    assert reason in verdict.reason
    with pytest.raises(EgressDenied, match=reason):
        verdict.enforce()


def test_labels_that_are_named_may_leave_and_are_told() -> None:
    verdict = policy(**ALLOWED, labels=("press",)).may_leave(
        ANNA, [OPEN, Material("acme", "public", ("press",))]
    )
    assert (verdict.allowed, verdict.labels) == (True, ("press",))


def test_a_star_names_all() -> None:
    everything = policy(tenants=("*",), collections=("*",), labels=("*",))
    assert everything.may_leave(ANNA, [Material("acme", "board", ("secret",))]).allowed


def test_a_document_is_its_collection_and_its_labels() -> None:
    document = Document("d", "u", "t", "board", "acme", "", 1, DocumentState.LIVE, labels=("secret",))
    assert Material.of(document) == Material("acme", "board", ("secret",))
