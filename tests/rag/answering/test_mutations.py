"""A supported sentence that is changed in one fact is refused, whichever sentence and fact it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.grounding import check, windows
from rag.types import Chunk

PEOPLE = st.permutations(["Anna Berg", "Bert Colm", "Cleo Dahl", "Nordwind", "Elbwerke", "Harbour Trust"])
VERBS = st.sampled_from(["sued", "hired", "praised", "visited", "bought", "trained", "replaced", "funded"])
TOWNS = st.permutations(["Kiel", "Bremen", "Oslo", "Malmö"])
NUMBERS = st.lists(st.integers(2, 900), min_size=2, max_size=2, unique=True)
BOUNDS = st.sampled_from(["up to", "at least", "about", "more than", "nearly"])


def supported(claim: str, source: str) -> bool:
    # A few names tell no language; the text they stand in does.
    told = f"This is what the town knows of it and of them. {source}"
    return any(check(claim, window, 0.95).supported for window in windows(Chunk("c", 0, told)))


@given(PEOPLE, VERBS, TOWNS)
def test_who_and_whom(people: list[str], verb: str, towns: list[str]) -> None:
    one, other = people[:2]
    source = f"{one} {verb} {other} in {towns[0]}."
    assert supported(f"{one} {verb} {other}.", source)
    assert supported(source, source)
    assert not supported(f"{other} {verb} {one}.", source)
    assert not supported(f"{people[2]} {verb} {other}.", source)
    assert not supported(f"{one} {verb} {other} in {towns[1]}.", source)
    assert not supported(f"{one} did not {verb} {other}.", source)


@given(PEOPLE, VERBS)
def test_who_and_whom_in_the_passive(people: list[str], verb: str) -> None:
    one, other = people[:2]
    source = f"{one} was {verb} by {other} last summer."
    assert supported(f"{other} {verb} {one}.", source)
    assert supported(f"{one} was {verb} by {other}.", source)
    assert not supported(f"{one} {verb} {other}.", source)
    assert not supported(f"{other} was {verb} by {one}.", source)


@given(PEOPLE, TOWNS, NUMBERS)
def test_how_many_and_where(people: list[str], towns: list[str], numbers: list[int]) -> None:
    few, many = numbers
    source = f"{people[0]} employs {few} engineers in {towns[0]} and {many} engineers in {towns[1]}."
    assert supported(f"{people[0]} employs {few} engineers in {towns[0]}.", source)
    assert supported(f"{people[0]} employs {many} engineers in {towns[1]}.", source)
    assert not supported(f"{people[0]} employs {many} engineers in {towns[0]}.", source)
    assert not supported(f"{people[0]} employs {few} engineers in {towns[1]}.", source)
    assert not supported(f"{people[0]} employs {few + many} engineers in {towns[0]}.", source)


@given(PEOPLE, BOUNDS, NUMBERS)
def test_bounds_and_negation(people: list[str], bound: str, numbers: list[int]) -> None:
    source = f"{people[0]} pays {bound} {numbers[0]} euros for a hotel."
    assert supported(source, source)
    assert not supported(source.replace(f"{bound} ", ""), source)
    assert not supported(source.replace("euros", "dollars"), source)
    denied = re.sub(r"pays", "never pays", source)
    assert not supported(denied, source) and not supported(source, denied)


@pytest.mark.parametrize(
    ("source", "claim"),
    [
        # The same words in another order, whichever they are.
        ("The unit has 700 beds, 10 theatres and a ward.", "The unit has 10 beds, 700 theatres and a ward."),
        (
            "In June French ships had passed the British fort.",
            "In June British ships had passed the French fort.",
        ),
        # A number for two.
        ("The articles 1 to 4 hold for all of the staff.", "The articles 4 to 4 hold for all of the staff."),
        # One of two negations.
        ("It could not be sold without the seal.", "It could be sold without the seal."),
        # Nothing left out but a word that bounds.
        ("They proved only to have a limited range.", "They proved to have a limited range."),
        ("All are alike, but some of these may be late.", "All are alike, but all of these may be late."),
    ],
)
def test_what_only_a_comparison_of_all_words_shows(source: str, claim: str) -> None:
    assert supported(source, source)
    assert not supported(claim, source)
