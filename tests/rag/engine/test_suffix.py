"""The suffix automaton against a search through every run."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.suffix import SuffixAutomaton

texts = st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=4)
runs = st.lists(st.integers(0, 3), min_size=1, max_size=6)


def places(sequences: list[list[int]], run: list[int]) -> list[tuple[int, int]]:
    """Sequence and end of every place of a run."""
    return [
        (number, end)
        for number, sequence in enumerate(sequences)
        for end in range(len(run), len(sequence) + 1)
        if sequence[end - len(run) : end] == run
    ]


def walked(automaton: SuffixAutomaton, run: list[int]) -> int | None:
    state: int | None = automaton.START
    for token in run:
        if state is not None:
            state = automaton.next(state, token)
    return state


@given(texts, runs)
def test_a_run_is_found_where_and_only_where_it_occurs(sequences: list[list[int]], run: list[int]) -> None:
    automaton = SuffixAutomaton(sequences)
    state = walked(automaton, run)
    found = places(sequences, run)
    assert (state is not None) == bool(found)
    if state is None:
        return
    following = {sequences[number][end] for number, end in found if end < len(sequences[number])}
    assert set(automaton.after(state)) == following
    assert automaton.ends(state) == any(end == len(sequences[number]) for number, end in found)


@given(texts, runs, st.integers(0, 5))
def test_a_run_is_continued_as_at_its_last_place(
    sequences: list[list[int]], run: list[int], count: int
) -> None:
    automaton = SuffixAutomaton(sequences)
    state = walked(automaton, run)
    if state is None:
        return
    behind = [sequences[number][end : end + count] for number, end in places(sequences, run)]
    assert automaton.continuation(state, count) == next((tokens for tokens in reversed(behind) if tokens), [])


@given(texts, st.lists(st.integers(0, 4), max_size=20))
def test_following_finds_the_longest_suffix_that_occurs(sequences: list[list[int]], text: list[int]) -> None:
    automaton = SuffixAutomaton(sequences)
    state, length = automaton.START, 0
    for end in range(1, len(text) + 1):
        state, length = automaton.follow(state, length, text[end - 1])
        longest = max(n for n in range(end + 1) if n == 0 or places(sequences, text[end - n : end]))
        assert length == longest
        assert not length or walked(automaton, text[end - length : end]) == state


@given(texts, st.lists(st.integers(0, 2), max_size=25))
def test_a_text_can_be_followed_while_it_is_added(sequences: list[list[int]], text: list[int]) -> None:
    automaton = SuffixAutomaton([*sequences, []])
    state, length = automaton.START, 0
    for end, token in enumerate(text):
        state, length = automaton.follow(state, length, token)
        known = [*sequences, text[:end]]
        assert length == max(
            n for n in range(end + 2) if n == 0 or places(known, text[end + 1 - n : end + 1])
        )
        automaton.extend(token)
    assert automaton.follow(automaton.START, 0, -1) == (automaton.START, 0)


def test_a_phrase_said_before_is_continued_from_its_last_place() -> None:
    automaton = SuffixAutomaton([[1, 2, 3, 4], [9, 2, 3, 5, 6], []])
    state, length = automaton.follow(automaton.START, 0, 2)
    automaton.extend(2)
    state, length = automaton.follow(state, length, 3)
    assert (automaton.continuation(state, 8), length) == ([5, 6], 2)


def test_the_start_is_followed_by_every_token() -> None:
    automaton = SuffixAutomaton([[1, 2], [3]])
    assert sorted(automaton.after(automaton.START)) == [1, 2, 3]
    assert automaton.next(automaton.START, -1) is None


@pytest.mark.parametrize("vocabulary", [500, 1])
def test_three_thousand_tokens_are_taken_in_within_seconds(vocabulary: int) -> None:
    tokens = np.random.default_rng(0).zipf(1.3, 3000) % vocabulary
    begin = time.process_time()
    SuffixAutomaton([tokens.tolist()])
    assert time.process_time() - begin < 3.0
