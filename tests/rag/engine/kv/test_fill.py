"""Filling slots, on the real model: what is restored must be what would have been computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.engine.generator import Reuse, Terms
from rag.engine.kv.cache import KvCache
from rag.engine.kv.fill import Filler
from rag.engine.kv.probe import Facts, probe
from rag.engine.model import Model
from rag.engine.sequence import Segment, Sequence, Share
from rag.evaluation.trial import divergence
from rag.models.abilities import abilities
from rag.models.header import read_header
from rag.models.lockfile import entry, locate
from rag.store.revocation import epoch, revoke_kv

pytestmark = pytest.mark.model
ROUNDING = 5e-3  # nats: other batch sizes add up in another order
SYSTEM = "You answer questions from passages of the handbook. Be brief and use their words.\n\n"
PASSAGES = (
    "Leave. Employees have 28 days of paid leave a year, and five more after ten years of service.\n\n",
    "Travel. Hotels are paid up to 140 euros a night; trains are second class below three hours.\n\n",
    "Kitchen. The coffee machine is cleaned every Friday by whoever made the last cup of the day.\n\n",
)
QUESTION = "Question: How many days of paid leave are there?\nAnswer:"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Model]:
    model = Model(locate(entry("smollm2-135m-instruct")), context=512, slots=3, micro_batch=256, threads=1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def facts(loaded: Model) -> Facts:
    header = read_header(locate(entry("smollm2-135m-instruct")))
    return probe(loaded, abilities(header), header)


@pytest.fixture
def filler(loaded: Model, facts: Facts, tmp_path: Path) -> Filler:
    for slot in range(3):
        loaded.trim(slot, 0)
    assert facts.shape
    cache = KvCache(tmp_path / "kv", "f", facts.shape, memory_bytes=10**9, disk_bytes=10**9)
    return Filler(loaded, cache, facts.rope)


def request(model: Model, *order: int, slot: int = 0, **terms: object) -> Sequence:
    parts = [(SYSTEM, False), *((PASSAGES[number], True) for number in order), (QUESTION, False)]
    segments = [Segment(model.tokens(text, control=False), chunk) for text, chunk in parts]
    asked = Terms(**{"namespace": "a", **terms})  # type: ignore[arg-type]
    return Sequence(segments, 16, asked, slot=slot)


def answered(model: Model, filler: Filler, asked: Sequence) -> NDArray[np.float32]:
    """The logits behind a prompt, filled as the engine does it; the slot is left empty."""
    last = np.empty(0, np.float32)
    for span in filler.fill(asked):
        if span is None:
            continue
        assert asked.computed == span.start
        [rows] = model.decode([Share(asked.slot, span.start, span.tokens, int(span.output))])
        asked.computed += len(span.tokens)
        last = rows[0].copy() if rows else last
    model.trim(asked.slot, 0)
    return last


def test_this_model_allows_keys_to_be_moved(facts: Facts) -> None:
    assert facts.rope is not None and facts.note == ""


def test_a_prompt_seen_before_is_restored_and_says_the_same(loaded: Model, filler: Filler) -> None:
    first, again, off = (
        request(loaded, 0, 1, 2, slot=slot, **terms)
        for slot, terms in ((0, {}), (1, {}), (2, {"reuse": Reuse.OFF}))
    )
    computed, restored, fresh = (answered(loaded, filler, one) for one in (first, again, off))
    assert (first.cached, again.cached, off.cached) == (0, len(again.prompt) - 1, 0)
    assert divergence(computed, restored) < ROUNDING and divergence(computed, fresh) < 1e-6


def test_prompts_that_part_later_share_their_beginning_only(loaded: Model, filler: Filler) -> None:
    answered(loaded, filler, request(loaded, 0, 1))
    other = request(loaded, 0, 2)
    restored = answered(loaded, filler, other)
    fresh = answered(loaded, filler, request(loaded, 0, 2, reuse=Reuse.OFF))
    assert other.cached >= sum(len(segment.tokens) for segment in other.segments[:2])
    assert other.approximate == 0 and divergence(fresh, restored) < ROUNDING


def test_passages_in_another_order_are_spliced_and_say_nearly_the_same(loaded: Model, filler: Filler) -> None:
    first = request(loaded, 0, 1, 2, reuse=Reuse.APPROXIMATE)
    answered(loaded, filler, first)
    assert first.cached == 0  # each passage was computed once
    shuffled = request(loaded, 2, 0, 1, reuse=Reuse.APPROXIMATE)
    spliced = answered(loaded, filler, shuffled)
    fresh = answered(loaded, filler, request(loaded, 2, 0, 1, reuse=Reuse.OFF))
    tail = len(shuffled.segments[-1].tokens)
    assert shuffled.cached == len(shuffled.prompt) - tail
    assert shuffled.approximate == sum(len(segment.tokens) for segment in shuffled.segments[2:4])
    assert 0 < divergence(fresh, spliced) < 0.5


def test_a_passage_right_behind_the_beginning_is_no_approximation(loaded: Model, filler: Filler) -> None:
    answered(loaded, filler, request(loaded, 0, 1, reuse=Reuse.APPROXIMATE))
    one = request(loaded, 1, reuse=Reuse.APPROXIMATE)
    spliced = answered(loaded, filler, one)
    fresh = answered(loaded, filler, request(loaded, 1, reuse=Reuse.OFF))
    assert divergence(fresh, spliced) < ROUNDING


def test_repair_of_whole_passages_is_full_recomputation(loaded: Model, filler: Filler) -> None:
    answered(loaded, filler, request(loaded, 0, 1, 2, reuse=Reuse.APPROXIMATE))
    fresh = answered(loaded, filler, request(loaded, 2, 0, 1, reuse=Reuse.OFF))
    off = []
    for repair in (0, 8, 1000):
        asked = request(loaded, 2, 0, 1, reuse=Reuse.APPROXIMATE, repair=repair)
        off.append(divergence(fresh, answered(loaded, filler, asked)))
    assert off[2] < ROUNDING < off[0]
    assert off[1] < off[0]


def test_a_lost_block_is_computed_again(loaded: Model, filler: Filler, tmp_path: Path) -> None:
    answered(loaded, filler, request(loaded, 0, 1, 2, reuse=Reuse.APPROXIMATE))
    filler.cache.close()
    files = sorted(tmp_path.rglob("*.kv"), key=lambda file: file.stat().st_size)
    files[-1].write_bytes(files[-1].read_bytes()[:-1])
    again = KvCache(tmp_path / "kv", "f", filler.cache.shape, memory_bytes=10**9, disk_bytes=10**9)
    fresh = Filler(loaded, again, filler.rope)
    shuffled = request(loaded, 2, 1, 0, reuse=Reuse.APPROXIMATE)
    spliced = answered(loaded, fresh, shuffled)
    assert again.describe()["damaged"] == 1
    assert divergence(answered(loaded, filler, request(loaded, 2, 1, 0, reuse=Reuse.OFF)), spliced) < 0.5


def test_an_approximate_answer_never_becomes_exact_kv(loaded: Model, filler: Filler) -> None:
    for order in ((0, 1, 2), (2, 0, 1)):
        answered(loaded, filler, request(loaded, *order, reuse=Reuse.APPROXIMATE))
    exact = request(loaded, 2, 0, 1)
    logits = answered(loaded, filler, exact)
    assert exact.cached <= sum(len(segment.tokens) for segment in exact.segments[:2])
    fresh = answered(loaded, filler, request(loaded, 2, 0, 1, reuse=Reuse.OFF))
    assert divergence(fresh, logits) < ROUNDING


def test_another_namespace_and_a_replayable_prompt_find_nothing(loaded: Model, filler: Filler) -> None:
    answered(loaded, filler, request(loaded, 0, 1, 2))
    for terms in ({"namespace": "b"}, {"namespace": None}, {"replayable": True}):
        stranger = request(loaded, 0, 1, 2, **terms)
        answered(loaded, filler, stranger)
        assert stranger.cached == 0


@pytest.mark.parametrize("reuse", [Reuse.EXACT, Reuse.APPROXIMATE])
def test_nothing_stays_of_a_prompt_whose_passages_were_found_before_a_removal(
    loaded: Model, filler: Filler, tmp_path: Path, reuse: Reuse
) -> None:
    before = epoch(tmp_path / "kv")
    revoke_kv(tmp_path)
    for asked, kept in ((before, False), (epoch(tmp_path / "kv"), True)):
        answered(loaded, filler, request(loaded, 0, 1, 2, reuse=reuse, epoch=asked))
        assert bool(filler.cache.describe()["nodes"]) == kept


@pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "noticed by another prompt"])
@pytest.mark.parametrize(
    ("reuse", "span"),
    [
        (Reuse.EXACT, 0),  # while it waits in the queue
        (Reuse.EXACT, 1),
        (Reuse.APPROXIMATE, 0),
        (Reuse.APPROXIMATE, 1),  # what stands before the passages
        (Reuse.APPROXIMATE, 2),  # the first passage
        (Reuse.APPROXIMATE, 4),  # the last one
    ],
)
def test_nothing_stays_of_a_prompt_during_which_a_document_was_removed(
    loaded: Model, filler: Filler, tmp_path: Path, reuse: Reuse, span: int, noticed: bool
) -> None:
    asked = request(loaded, 0, 1, 2, reuse=reuse)
    spans = filler.fill(asked)
    for number in range(10):
        if number == span:
            revoke_kv(tmp_path)
            if noticed:
                filler.cache.match("b", [1])
        if part := next(filter(None, spans), None):
            loaded.decode([Share(asked.slot, part.start, part.tokens, int(part.output))])
            asked.computed += len(part.tokens)
    assert asked.computed == len(asked.prompt)
    filler.keep(asked, asked.prompt)  # as at the end of a session
    while filler.cache.save_next():
        filler.cache.settle(wait=True)
    assert filler.cache.describe()["memory_bytes"] == 0 and not list(tmp_path.rglob("*.kv"))
    again = request(loaded, 0, 1, 2, reuse=reuse, slot=1)
    answered(loaded, filler, again)
    assert again.cached == 0
    assert filler.cache.describe()["memory_bytes"] > 0
