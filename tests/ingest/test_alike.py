"""Near-duplicates are found across the corpus, by whoever may read both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingest.alike import alike, groups, newest
from ingest.jobs import Summary
from rag.store.catalog import Catalog
from rag.types import Principal

Run = Callable[..., Summary]
POLICY = " ".join(
    f"Rule {n}: whoever travels for more than {n} hours keeps receipt number {n}." for n in range(40)
)


def names(catalog: Catalog, principal: Principal | None = None) -> list[tuple[str, str, bool]]:
    pairs = alike(catalog, principal or Principal())
    return [(Path(each.one.uri).name, Path(each.other.uri).name, each.same_bytes) for each in pairs]


def test_copies_and_edited_versions_are_found(run: Run, docs: Path, catalog: Catalog) -> None:
    (docs / "policy.txt").write_text(POLICY)
    (docs / "policy copy.txt").write_text(POLICY)
    (docs / "policy v2.txt").write_text(POLICY.replace("keeps receipt number 7", "hands in receipt number 7"))
    run(docs)
    found = names(catalog)
    assert len(found) == 3
    assert found[0][2], "the copy is the most similar"
    (group,) = groups(alike(catalog, Principal()))
    assert [Path(each.uri).name for each in group] == ["policy copy.txt", "policy v2.txt", "policy.txt"]
    latest = newest(group)
    assert latest
    assert latest.uri.endswith("policy v2.txt")


def test_a_version_that_was_replaced_is_no_duplicate(run: Run, docs: Path, catalog: Catalog) -> None:
    (docs / "policy.txt").write_text(POLICY)
    run(docs)
    (docs / "policy.txt").write_text(POLICY + " And one more.")
    run(docs)
    assert names(catalog) == []


def test_nobody_learns_of_a_copy_that_he_may_not_read(
    run: Run, docs: Path, tmp_path: Path, catalog: Catalog
) -> None:
    (docs / "policy.txt").write_text(POLICY)
    run(docs)
    secret = tmp_path / "board"
    secret.mkdir()
    (secret / "policy.txt").write_text(POLICY)
    run(secret, groups=("board",))
    assert names(catalog) == []
    assert len(names(catalog, Principal(groups=("board", "everyone")))) == 1
