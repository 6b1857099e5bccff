"""Passages computed in quiet moments, on the real model: they serve as used ones would, and nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.child import Inbox
from rag.engine.engine import EngineService
from rag.engine.generator import Reuse, Terms
from rag.engine.kv.cache import KvCache
from rag.engine.kv.fill import Filler
from rag.engine.kv.probe import Facts, probe
from rag.engine.model import Model
from rag.engine.sequence import Segment, Sequence, Share
from rag.engine.warming import MOST_WAITING, PIECE, Warmer
from rag.evaluation.trial import divergence
from rag.models.abilities import abilities
from rag.models.header import read_header
from rag.models.lockfile import entry, locate
from rag.settings import EngineSettings
from rag.store.revocation import epoch, revoke_kv
from tests.rag.engine.callers import OwnPeer

pytestmark = pytest.mark.model
ROUNDING = 5e-3  # nats: other batch sizes add up in another order
SYSTEM = "You answer questions from passages of the handbook. Be brief and use their words.\n\n"
PASSAGES = (
    "Leave. Employees have 28 days of paid leave a year, and five more after ten years of service. " * 4,
    "Travel. Hotels are paid up to 140 euros a night; trains are second class below three hours.\n\n",
    "Kitchen. The coffee machine is cleaned every Friday by whoever made the last cup of the day.\n\n",
)
QUESTION = "Question: How many days of paid leave are there?\nAnswer:"
TERMS = Terms(namespace="a", reuse=Reuse.APPROXIMATE)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Model]:
    model = Model(locate(entry("smollm2-135m-instruct")), context=512, slots=2, micro_batch=128, threads=1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def facts(loaded: Model) -> Facts:
    header = read_header(locate(entry("smollm2-135m-instruct")))
    return probe(loaded, abilities(header), header)


def filled(model: Model, facts: Facts, home: Path, *, memory: int = 10**9) -> Filler:
    assert facts.shape
    cache = KvCache(home / "kv", "f", facts.shape, memory_bytes=memory, disk_bytes=10**9)
    return Filler(model, cache, facts.rope)


@pytest.fixture
def warmer(loaded: Model, facts: Facts, tmp_path: Path) -> Warmer:
    for slot in range(2):
        loaded.trim(slot, 0)
    return Warmer(loaded, filled(loaded, facts, tmp_path))


def segments(model: Model, *texts: str) -> list[Segment]:
    """A prompt of these passages, without its end."""
    front = Segment(model.tokens(SYSTEM, control=False))
    return [front, *(Segment(model.tokens(text, control=False), True) for text in texts)]


def asked(model: Model, *order: int) -> Sequence:
    end = Segment(model.tokens(QUESTION, control=False))
    return Sequence([*segments(model, *(PASSAGES[number] for number in order)), end], 8, TERMS, slot=1)


def answered(model: Model, filler: Filler, request: Sequence) -> NDArray[np.float32]:
    """The logits behind a prompt, filled as the engine does it; its slot is left empty."""
    last = np.empty(0, np.float32)
    for span in filter(None, filler.fill(request)):
        [rows] = model.decode([Share(request.slot, span.start, span.tokens, int(span.output))])
        request.computed += len(span.tokens)
        last = rows[0].copy() if rows else last
    model.trim(request.slot, 0)
    return last


def finish(warmer: Warmer) -> None:
    while len(warmer):
        warmer.step()


def kv_of(warmer: Warmer) -> dict[str, Any]:
    assert warmer.filler
    return warmer.filler.cache.describe()


def test_a_warmed_passage_serves_as_one_that_was_used(
    loaded: Model, facts: Facts, warmer: Warmer, tmp_path: Path
) -> None:
    assert warmer.filler
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 3
    finish(warmer)
    assert warmer.computed == 3 and warmer.cpu_s > 0
    warm = asked(loaded, 2, 0, 1)
    logits = answered(loaded, warmer.filler, warm)
    assert warm.cached == len(warm.prompt) - len(warm.segments[-1].tokens)
    used = filled(loaded, facts, tmp_path / "other")
    answered(loaded, used, asked(loaded, 0, 1, 2))
    assert divergence(answered(loaded, used, asked(loaded, 2, 0, 1)), logits) < ROUNDING


def test_somebody_who_comes_waits_for_one_small_step_and_finds_the_slot_free(
    loaded: Model, warmer: Warmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, decode = [], loaded.decode
    monkeypatch.setattr(
        loaded, "decode", lambda shares: (sizes.append(len(shares[0].tokens)), decode(shares))[1]
    )
    warmer.add(segments(loaded, *PASSAGES), TERMS)
    warmer.step()
    warmer.stop()
    assert len(sizes) == 1 and len(warmer) == 3
    assert len(loaded.save(0)) < 1000, "the slot still holds tokens"
    finish(warmer)
    assert warmer.computed == 3 and max(sizes) <= PIECE


def test_what_is_kept_or_wished_for_is_not_wished_for_again(loaded: Model, warmer: Warmer) -> None:
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 3
    warmer.step()  # the first one is under way
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 0
    finish(warmer)
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 0
    assert warmer.add(segments(loaded, *PASSAGES), replace(TERMS, namespace="b")) == 3
    finish(warmer)
    assert warmer.computed == 6


def test_what_an_answer_brought_meanwhile_is_not_computed(loaded: Model, warmer: Warmer) -> None:
    assert warmer.filler
    warmer.add(segments(loaded, *PASSAGES[:2]), TERMS)
    answered(loaded, warmer.filler, asked(loaded, 0, 1))
    finish(warmer)
    assert warmer.computed == 0


def test_the_list_is_bounded_and_the_newest_wishes_stay(loaded: Model, warmer: Warmer) -> None:
    many = [f"Passage number {number}." for number in range(MOST_WAITING)]
    warmer.add(segments(loaded, *many), TERMS)
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 3
    assert len(warmer) == MOST_WAITING
    assert warmer.add(segments(loaded, *PASSAGES), TERMS) == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_removed_document_ends_all_wishes(
    loaded: Model, warmer: Warmer, tmp_path: Path, begun: bool
) -> None:
    warmer.add(segments(loaded, *PASSAGES), TERMS)
    if begun:
        warmer.step()
    revoke_kv(tmp_path)
    warmer.step()
    assert len(warmer) == 0 and warmer.computed == 0
    assert len(loaded.save(0)) < 1000, "the slot still holds tokens"
    assert warmer.filler and warmer.filler.cache.match("a", asked(loaded, 0).prompt).length == 0


def test_passages_found_before_a_removal_are_not_warmed_after_it(
    loaded: Model, warmer: Warmer, tmp_path: Path
) -> None:
    before = epoch(tmp_path / "kv")
    revoke_kv(tmp_path)
    warmer.add(segments(loaded, *PASSAGES), replace(TERMS, epoch=before))
    finish(warmer)
    assert warmer.computed == 0 and kv_of(warmer)["nodes"] == 0


@pytest.mark.parametrize(
    "terms",
    [
        replace(TERMS, reuse=Reuse.EXACT),
        replace(TERMS, reuse=Reuse.OFF),
        replace(TERMS, namespace=None),
        replace(TERMS, replayable=True),
    ],
)
def test_nothing_is_warmed_where_it_may_not_be_reused(loaded: Model, warmer: Warmer, terms: Terms) -> None:
    assert warmer.add(segments(loaded, *PASSAGES), terms) == 0


def test_nothing_is_warmed_that_does_not_fit(loaded: Model, facts: Facts, tmp_path: Path) -> None:
    assert facts.shape
    small = Warmer(loaded, filled(loaded, facts, tmp_path, memory=60 * facts.shape.token_bytes))
    assert small.add(segments(loaded, *PASSAGES), TERMS) == 2  # the first passage is longer than that
    book = Warmer(loaded, filled(loaded, facts, tmp_path))
    assert book.add(segments(loaded, "word " * 600), TERMS) == 0
    assert Warmer(loaded, None).add(segments(loaded, *PASSAGES), TERMS) == 0


class Caller(OwnPeer):
    """A call as the engine's loop sees it, and what came of it."""

    cancelled = False

    def __init__(self, method: str, prompt: list[Any], inbox: Inbox, **more: Any) -> None:
        self.method, self.inbox = method, inbox
        self.args = {"prompt": prompt, "terms": {"namespace": "a", "reuse": "approximate"}, **more}
        self.result: Any = None

    def emit(self, event: Any) -> None:
        self.result = event

    def finish(self, result: Any = None, *, cpu_s: float = 0.0) -> None:
        self.result = self.result or result
        if self.method == "stream":
            self.inbox.close()

    def fail(self, error: BaseException) -> None:
        raise error


@pytest.mark.parametrize("unproven", [False, True])
def test_an_engine_serves_whoever_waits_before_it_warms_anything(tmp_path: Path, unproven: bool) -> None:
    settings = EngineSettings(
        context=512, slots=1, micro_batch=64, threads=1, tune=False, unproven_reuse=unproven
    )
    service, inbox, steps = EngineService(str(tmp_path), settings.model_dump(mode="json")), Inbox({}), []
    parts = [[SYSTEM, False, False], *([text, False, True] for text in PASSAGES)]
    hint = Caller("warm", parts, inbox)
    question = Caller("stream", [[QUESTION, False, False]], inbox, sampling={"max_tokens": 4})
    for call in (hint, question):
        inbox.put(call)  # type: ignore[arg-type]
    step = service.warmer.step
    service.warmer.step = lambda: steps.append(step())  # type: ignore[method-assign]
    service.run(inbox)
    assert question.result["usage"]["completion_tokens"] > 0
    assert not steps, "a passage was warmed while somebody waited"
    assert hint.result == len(service.warmer) == (3 if unproven else 0)
    finish(service.warmer)
    service.close()
    assert service.warmer.computed == (3 if unproven else 0)
