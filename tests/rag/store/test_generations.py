"""One index answers, another is built beside it, and going over and back is one step each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rag.errors import BadRequest, SettingsError
from rag.store.catalog import Catalog
from rag.store.generations import Generation, Generations, GenerationState, check, differences
from rag.store.queue import Listed, Queue, Shelf
from rag.types import Chunk, DocumentState, Principal

EVERYONE = Principal()
SHELF = Shelf.of(EVERYONE, "default", ("everyone",), "1")
SMALL, LARGE = {"model": "mini", "chunk_tokens": 256}, {"model": "mini", "chunk_tokens": 512}
Publish = Callable[..., int]


@pytest.fixture
def generations(catalog: Catalog) -> Generations:
    return Generations(catalog.database)


def build(catalog: Catalog, generations: Generations, recipe: dict[str, object] = LARGE) -> Generation:
    """A generation with a version of every document in it."""
    made = generations.build(recipe)
    for document_id in generations.outstanding(made.number):
        fields = {"title": "", "media_type": "text/plain", "pages": 0}
        version = catalog.open_version(document_id, generation=made.number, **fields)  # type: ignore[arg-type]
        assert version
        catalog.save_chunks(version, [Chunk(f"{document_id}-{version}", 0, "text of the new one")])
        assert catalog.complete(version)
    return made


def test_the_first_generation_takes_the_settings_of_its_first_run(generations: Generations) -> None:
    first = generations.live(SMALL)
    assert (first.number, first.state, first.recipe) == (1, GenerationState.LIVE, SMALL)
    assert generations.live(LARGE).recipe == SMALL


def test_other_settings_ask_for_a_new_generation(generations: Generations) -> None:
    with pytest.raises(SettingsError, match=r"chunk_tokens 256, now 512\): `rag reindex`"):
        check(generations.live(SMALL), LARGE)
    check(generations.live(SMALL), {**SMALL, "something new": 1})
    assert differences({}, SMALL) == []


def test_a_generation_older_than_late_interaction_has_none(generations: Generations) -> None:
    made = generations.live(SMALL)
    check(made, {**SMALL, "late_interaction": ""})
    with pytest.raises(SettingsError, match=r"late_interaction '', now 'colbert'\): `rag reindex`"):
        check(made, {**SMALL, "late_interaction": "colbert"})


def test_a_generation_older_than_prompts_is_left_to_its_stamp(generations: Generations) -> None:
    made = generations.live(SMALL)
    check(made, {**SMALL, "document_prompt": "passage: "})
    check(made, {**SMALL, "document_prompt": None})


def test_a_built_generation_answers_after_one_step_and_the_old_one_is_kept(
    catalog: Catalog, generations: Generations, publish: Publish
) -> None:
    generations.live(SMALL)
    old = publish("/a")
    made = build(catalog, generations)
    (new,) = catalog.complete_versions(made.number)
    assert set(catalog.live_versions()) == {old}, "what is built does not answer"
    assert catalog.hidden_versions() == []
    assert generations.go_live(made.number, {}) == 0
    assert set(catalog.live_versions()) == {new}
    assert generations.live(SMALL).number == made.number
    document_id = SHELF.document_id("/a")
    found = catalog.passages([f"/a-{old}", f"{document_id}-{new}"], EVERYONE)
    assert len(found) == 2, "a search that began before the step still finds its text"


def test_a_document_without_a_version_holds_the_step_up(
    catalog: Catalog, generations: Generations, publish: Publish
) -> None:
    generations.live(SMALL)
    publish("/a")
    made = build(catalog, generations)
    late = publish("/late")
    assert generations.go_live(made.number, {}) == 1
    assert late in catalog.live_versions()
    document_id = SHELF.document_id("/late")
    assert generations.go_live(made.number, {document_id: "its file was gone"}) == 0
    document = catalog.document(document_id, EVERYONE)
    assert document
    assert (document.state, document.reason) == (DocumentState.QUARANTINED, "its file was gone")


def test_a_document_that_changes_meanwhile_is_built_again(
    catalog: Catalog, generations: Generations, publish: Publish
) -> None:
    generations.live(SMALL)
    publish("/a")
    made = build(catalog, generations)
    publish("/a", "b")
    assert generations.outstanding(made.number) == [SHELF.document_id("/a")]


def test_going_back_restores_what_did_not_change_and_lets_the_rest_wait(
    catalog: Catalog, generations: Generations, publish: Publish, queue: Queue
) -> None:
    generations.live(SMALL)
    same = publish("/same")
    publish("/edited")
    made = build(catalog, generations)
    generations.go_live(made.number, {})
    queue.enqueue([Listed("/edited", "b")], SHELF)
    claim = queue.claim(lease_s=60)
    assert claim
    fields = {"title": "", "media_type": "text/plain", "pages": 0}
    version = catalog.open_version(claim.document_id, generation=made.number, **fields)  # type: ignore[arg-type]
    assert version
    assert catalog.publish(claim.document_id, version)
    back, waiting = generations.go_back()
    assert (back.number, waiting) == (1, 1)
    assert set(catalog.live_versions()) == {same}
    assert catalog.counts()[DocumentState.PENDING] == 1
    forward, _ = generations.go_back()
    assert forward.number == made.number, "and one may go forward again"


def test_a_removed_document_is_gone_from_every_generation(
    catalog: Catalog, generations: Generations, publish: Publish
) -> None:
    generations.live(SMALL)
    old = publish("/a")
    made = build(catalog, generations)
    generations.go_live(made.number, {})
    catalog.remove(SHELF.document_id("/a"))
    assert catalog.passages([f"/a-{old}"], EVERYONE) == {}
    assert catalog.complete_versions(1) == catalog.complete_versions(made.number) == {}


def test_a_third_generation_drops_the_first(
    catalog: Catalog, generations: Generations, publish: Publish
) -> None:
    generations.live(SMALL)
    first = publish("/a")
    for recipe in (LARGE, {**LARGE, "model": "big"}):
        generations.go_live(build(catalog, generations, recipe).number, {})
    assert [each.number for each in generations.all()] == [2, 3]
    assert catalog.retired_versions() == [first]


def test_another_recipe_does_not_go_on_with_a_half_built_generation(generations: Generations) -> None:
    generations.live(SMALL)
    made = generations.build(LARGE)
    assert generations.build(LARGE).number == made.number
    with pytest.raises(BadRequest, match=f"rag reindex --drop {made.number}"):
        generations.build({**LARGE, "model": "big"})
    generations.drop(made.number)
    assert generations.build({**LARGE, "model": "big"}).number > made.number


def test_the_live_generation_cannot_be_dropped(generations: Generations) -> None:
    generations.live(SMALL)
    with pytest.raises(BadRequest, match="generation 1 is the one that answers"):
        generations.drop(1)
    with pytest.raises(BadRequest, match="generation 7 does not exist"):
        generations.drop(7)
    with pytest.raises(BadRequest, match="no earlier generation"):
        generations.go_back()
