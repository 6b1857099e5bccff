"""Scheduling is pure: these tests need no model."""

from __future__ import annotations

import pytest

from rag.engine.generator import Priority, Terms
from rag.engine.pacing import Pace
from rag.engine.queue import WaitingLine
from rag.engine.scheduler import LEAST_PIECE, REPLAY_PIECE, Limits, Scheduler
from rag.engine.sequence import Segment, Sequence, Share, Span
from rag.errors import BadRequest, ContextTooLong, Overloaded


def scheduler(
    *, slots: int = 4, micro_batch: int = 64, target_ms: float = 100.0, queue: int = 8
) -> Scheduler:
    line = WaitingLine(max_requests=queue, max_tokens=10_000)
    pace = Pace({1: 20.0}, token_ms=1.0)
    return Scheduler(Limits(slots, 1000, micro_batch, target_ms), line, pace)


def prompt(length: int, *, first: int = 0, max_tokens: int = 10, **terms: object) -> Sequence:
    tokens = list(range(first, first + length))
    return Sequence([Segment(tokens)], max_tokens, Terms(**terms))  # type: ignore[arg-type]


def started(scheduler: Scheduler, *sequences: Sequence) -> None:
    for sequence in sequences:
        scheduler.submit(sequence)
    for sequence in scheduler.admit():
        sequence.fill = iter([Span(0, sequence.prompt, output=True)])
        sequence.resume()


def step(scheduler: Scheduler) -> list[Share]:
    """One step of the engine, with a made-up token for everyone whose logits came out."""
    shares = scheduler.plan()
    for share in shares:
        [sequence] = [one for one in scheduler.running if one.slot == share.slot]
        sequence.computed += len(share.tokens)
        if share.outputs:
            sequence.generated.append(7)
            sequence.span = None
    return shares


def test_a_long_prompt_is_cut_into_pieces_of_a_step() -> None:
    engine = scheduler()
    started(engine, prompt(150))
    pieces = [step(engine)[0] for _ in range(3)]
    assert [(piece.start, len(piece.tokens), piece.outputs) for piece in pieces] == [
        (0, 64, 0),
        (64, 64, 0),
        (128, 22, 1),
    ]


def test_decoding_comes_first_and_a_prompt_gets_what_keeps_the_step_within_its_target() -> None:
    engine = scheduler(micro_batch=512)
    reader, newcomer = prompt(5), prompt(400)
    started(engine, reader)
    step(engine)
    started(engine, newcomer)
    first, second = engine.plan()
    assert (first.slot, first.tokens) == (reader.slot, [7])
    assert (second.slot, len(second.tokens)) == (newcomer.slot, 80)  # (100 ms - 20 ms) at 1 ms a token


def test_beside_readers_short_prompts_share_a_step_and_none_is_cut_for_it() -> None:
    engine = scheduler(micro_batch=512)
    started(engine, prompt(5))
    step(engine)
    started(engine, *(prompt(30, first=first) for first in range(1000, 4000, 1000)))
    assert [len(share.tokens) for share in engine.plan()] == [1, 30, 30]  # 80 fit: a third would be cut


def test_a_prompt_gets_its_least_piece_however_slow_the_machine_is() -> None:
    engine = scheduler(target_ms=1.0)
    reader, newcomer = prompt(5), prompt(400)
    started(engine, reader)
    step(engine)
    started(engine, newcomer)
    assert len(engine.plan()[1].tokens) == LEAST_PIECE


def test_a_short_question_passes_a_long_document_but_not_for_ever() -> None:
    engine = scheduler()
    long = prompt(900)
    started(engine, long)
    for first in range(5000, 5400, 100):
        started(engine, prompt(64, first=first, max_tokens=1))
        [share, *_] = step(engine)
        if share.slot == long.slot:
            return
        engine.release(next(one for one in engine.running if one.slot == share.slot))
    raise AssertionError("the long prompt was passed over every time")


def test_batch_work_waits_until_no_person_waits() -> None:
    engine = scheduler(slots=1)
    engine.submit(prompt(5, priority=Priority.BATCH))
    person = prompt(50, first=100)
    engine.submit(person)
    assert engine.admit() == [person]


def test_the_users_of_a_queue_take_turns() -> None:
    engine = scheduler(slots=1, queue=20)
    for number in range(4):
        engine.submit(prompt(50, first=number, user="many"))
    for number in range(2):
        engine.submit(prompt(50, first=number, user="few"))
    order = []
    while engine.line:
        [admitted] = engine.admit()
        order.append(admitted.terms.user)
        engine.release(admitted)
    assert sorted(order[:4]) == ["few", "few", "many", "many"]


def test_a_user_cannot_take_the_whole_queue() -> None:
    engine = scheduler(queue=4)
    for _ in range(2):
        engine.submit(prompt(5, user="greedy"))
    with pytest.raises(Overloaded, match="half of the queue"):
        engine.submit(prompt(5, user="greedy"))
    engine.submit(prompt(5, user="other"))


def test_what_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextTooLong, match=r"995 tokens and may grow by 10 .* holds 1000"):
        scheduler().submit(prompt(995))
    scheduler().submit(prompt(990))


def test_an_empty_prompt_and_no_tokens_are_refused() -> None:
    for nothing in (prompt(0), prompt(3, max_tokens=0)):
        with pytest.raises(BadRequest, match="at least 1"):
            scheduler().submit(nothing)


def test_a_full_queue_says_what_is_full() -> None:
    engine = scheduler(queue=2)
    for _ in range(2):
        engine.submit(prompt(3))
    with pytest.raises(Overloaded, match="2 requests wait already"):
        engine.submit(prompt(3))
    line = WaitingLine(max_requests=9, max_tokens=100)
    line.put(prompt(80))
    with pytest.raises(Overloaded, match="prompts of 80 tokens wait"):
        line.put(prompt(30))


def test_one_prompt_larger_than_the_token_bound_may_still_wait_alone() -> None:
    line = WaitingLine(max_requests=9, max_tokens=100)
    line.put(prompt(500))
    assert len(line) == 1


def test_a_prompt_waits_for_another_that_begins_alike_and_nobody_else_does() -> None:
    engine = scheduler()
    first, alike = prompt(400, namespace="a"), prompt(400, namespace="a")
    started(engine, first)
    stranger = prompt(400, namespace="b")
    engine.submit(alike)
    engine.submit(stranger)
    assert engine.admit() == [stranger]
    while first.span:
        step(engine)
    assert engine.admit() == [alike]


def test_slots_that_decode_together_are_brought_side_by_side() -> None:
    engine = scheduler()
    sequences = [prompt(3, first=number) for number in range(3)]
    started(engine, *sequences)
    assert engine.gap() is None
    engine.release(sequences[1])
    assert engine.gap() == (2, 1)
    engine.release(sequences[0])
    assert engine.gap() is None  # one alone has no gap, wherever it is


def test_a_replayable_prompt_is_cut_the_same_way_under_any_load() -> None:
    def pieces(*others: Sequence) -> list[tuple[int, int, bool]]:
        engine = scheduler(micro_batch=512)
        started(engine, *others)
        step(engine)
        audited = prompt(300, replayable=True)
        started(engine, audited)
        found = []
        while audited.span:
            found += [share for share in step(engine) if share.slot == audited.slot]
        return [(share.start, len(share.tokens), share.alone) for share in found]

    alone = pieces()
    assert alone == [(0, 128, True), (128, 128, True), (256, 44, True)] and REPLAY_PIECE == 128
    assert pieces(prompt(5), prompt(400, first=2000)) == alone


def test_a_prompt_waits_also_for_one_that_pauses_or_came_in_the_same_moment() -> None:
    engine = scheduler(micro_batch=256)
    alike = [prompt(200, namespace="a") for _ in range(3)]
    for sequence in alike:
        engine.submit(sequence)
    assert engine.admit() == alike[:1]
    alike[0].computed = 40  # what was kept is restored, and others get their step
    alike[0].span = None
    assert engine.admit() == []
    alike[0].span = Span(40, alike[0].prompt[40:], output=True)
    step(engine)
    assert engine.admit() == alike[1:2]
    alike[1].computed = 199  # restored
    assert engine.admit() == alike[2:]


def test_a_waiting_sequence_can_leave() -> None:
    engine = scheduler(slots=1)
    first, second = prompt(3), prompt(3)
    started(engine, first)
    engine.submit(second)
    engine.release(second)
    engine.release(first)
    assert engine.is_idle
