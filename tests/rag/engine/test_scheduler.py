"""Scheduling is pure: these tests need no model."""

from __future__ import annotations

import pytest

from rag.engine.scheduler import MIXED_PREFILL_TOKENS, Scheduler
from rag.engine.sequence import Copy, Sequence, Share, Trim
from rag.errors import BadRequest, ContextTooLong, Overloaded


def scheduler(**changes: int) -> Scheduler:
    sizes = {"cells": 1000, "context": 1000, "slots": 4, "batch_tokens": 64, "max_queue": 8, "resident": 500}
    return Scheduler(**{**sizes, **changes})


def prompt(length: int, *, first: int = 0, namespace: str | None = None, max_tokens: int = 10) -> Sequence:
    return Sequence(list(range(first, first + length)), max_tokens, namespace)


def step(scheduler: Scheduler) -> list[Share]:
    """One step of the engine, with a made-up token for everyone whose logits came out."""
    shares = scheduler.plan()
    for share in shares:
        sequence = scheduler.advance(share)
        if share.output:
            sequence.generated.append(7)
    return shares


def started(scheduler: Scheduler, *sequences: Sequence) -> None:
    for sequence in sequences:
        scheduler.submit(sequence)
    scheduler.admit()


def finished(scheduler: Scheduler, sequence: Sequence) -> Sequence:
    started(scheduler, sequence)
    while not sequence.generated:
        step(scheduler)
    scheduler.release(sequence)
    return sequence


def test_a_long_prompt_is_cut_into_pieces_of_a_step() -> None:
    engine = scheduler()
    started(engine, prompt(150))
    pieces = [step(engine)[0] for _ in range(3)]
    assert [(piece.start, len(piece.tokens), piece.output) for piece in pieces] == [
        (0, 64, False),
        (64, 64, False),
        (128, 22, True),
    ]


def test_decoding_comes_first_and_a_prompt_gets_what_is_left() -> None:
    engine = scheduler(batch_tokens=512, cells=4000, context=4000)
    reader, newcomer = prompt(5), prompt(400)
    started(engine, reader)
    step(engine)
    started(engine, newcomer)
    first, second = engine.plan()
    assert (first.slot, len(first.tokens)) == (reader.slot, 1)
    assert (second.slot, len(second.tokens)) == (newcomer.slot, MIXED_PREFILL_TOKENS)


def test_waiting_prompts_take_turns() -> None:
    engine = scheduler()
    left, right = prompt(120), prompt(120, first=500)
    started(engine, left, right)
    turns = [step(engine)[0].slot for _ in range(3)]
    assert turns == [left.slot, right.slot, left.slot]


def test_a_step_is_never_larger_than_the_batch_with_more_readers_than_that() -> None:
    engine = scheduler(batch_tokens=3, slots=8)
    readers = [prompt(1, first=number) for number in range(8)]
    started(engine, *readers)
    for _ in range(20):
        assert sum(len(share.tokens) for share in step(engine)) <= 3
    assert all(len(reader.generated) >= 3 for reader in readers)


def test_cells_are_reserved_before_a_sequence_runs() -> None:
    engine = scheduler(cells=100, context=100)
    first, second = prompt(40, max_tokens=20), prompt(40, max_tokens=20)
    started(engine, first, second)
    assert (list(engine.running), list(engine.waiting)) == ([first], [second])
    engine.release(first)
    engine.admit()
    assert list(engine.running) == [second]


def test_what_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextTooLong, match=r"995 tokens and may grow by 10 .* holds 1000"):
        scheduler().submit(prompt(995))
    scheduler().submit(prompt(990))


def test_an_empty_prompt_and_no_tokens_are_refused() -> None:
    for nothing in (prompt(0), prompt(3, max_tokens=0)):
        with pytest.raises(BadRequest, match="at least 1"):
            scheduler().submit(nothing)


def test_a_full_queue_says_so() -> None:
    engine = scheduler(max_queue=2)
    for _ in range(2):
        engine.submit(prompt(3))
    with pytest.raises(Overloaded, match="2 requests wait already"):
        engine.submit(prompt(3))


def test_a_finished_prompt_is_reused_but_for_its_last_token() -> None:
    engine = scheduler()
    old = finished(engine, prompt(50, namespace="a"))
    new = prompt(50, namespace="a")
    engine.submit(new)
    assert engine.admit() == [Trim(old.slot, 49)]
    assert (new.slot, new.cached) == (old.slot, 49)


def test_a_longer_conversation_keeps_its_slot_and_is_shared() -> None:
    engine = scheduler()
    old = finished(engine, prompt(50, namespace="a"))
    new = Sequence([*range(20), 999], 10, "a")
    engine.submit(new)
    moves = engine.admit()
    assert moves == [Trim(new.slot, 0), Copy(old.slot, new.slot, 20)]
    assert new.slot != old.slot and new.cached == 20


def test_a_running_sequence_shares_what_it_computed() -> None:
    engine = scheduler()
    running, new = prompt(50, namespace="a"), prompt(50, namespace="a")
    started(engine, running)
    step(engine)
    engine.submit(new)
    moves = engine.admit()
    assert Copy(running.slot, new.slot, 49) in moves


def test_nothing_is_reused_across_namespaces_or_without_one() -> None:
    engine = scheduler()
    finished(engine, prompt(50, namespace="a"))
    finished(engine, prompt(50))
    for stranger in (prompt(50, namespace="b"), prompt(50)):
        started(engine, stranger)
        assert stranger.cached == 0
        engine.release(stranger, keep=False)


def test_idle_slots_give_way_to_who_needs_the_cells() -> None:
    engine = scheduler(cells=100, context=100)
    old = finished(engine, prompt(50, namespace="a"))
    new = prompt(80, first=500, namespace="a")
    engine.submit(new)
    assert Trim(old.slot, 0) in engine.admit()
    assert new in engine.running


def test_idle_slots_keep_no_more_than_they_may() -> None:
    engine = scheduler(resident=60)
    first = finished(engine, prompt(50, namespace="a"))
    finished(engine, prompt(50, first=500, namespace="a"))
    assert engine.slots[first.slot].resident == []


def test_a_waiting_sequence_can_leave() -> None:
    engine = scheduler(slots=1)
    first, second = prompt(3), prompt(3)
    started(engine, first, second)
    assert engine.release(second) == []
    engine.release(first)
    assert engine.is_idle
