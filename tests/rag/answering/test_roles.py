"""Who does what to whom survives a change of voice and nothing else."""

from __future__ import annotations

import pytest

from rag.answering.roles import swapped, unfinished


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("Brandt sued Nordwind.", "In 2019 Brandt sued Nordwind over a patent."),
        ("Nordwind was sued by Brandt.", "Brandt sued Nordwind in Kiel."),
        ("Brandt sued Nordwind.", "Nordwind was sued by Brandt in Kiel."),
        ("The policy was approved in March.", "The policy was approved by Marta Lind in March."),
        ("In March the policy was approved.", "The policy was approved in March."),
        ("In Kiel Brandt founded the firm.", "Brandt founded the firm in Kiel."),
    ],
)
def test_the_same_roles_in_other_words_are_kept(claim: str, source: str) -> None:
    assert swapped(claim, source) == ""


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("Nordwind sued Brandt.", "In 2019 Brandt sued Nordwind over a patent."),
        ("Brandt was sued by Nordwind.", "Brandt sued Nordwind in Kiel."),
        ("Nordwind sued Brandt.", "Nordwind was sued by Brandt in Kiel."),
        ("The dog bit the postman.", "The postman bit the dog."),
        ("Marta reports to Karl.", "Karl reports to Marta."),
        ("Kiel lies north of Hamburg.", "Hamburg lies north of Kiel."),
    ],
)
def test_swapped_roles_are_found(claim: str, source: str) -> None:
    assert swapped(claim, source) != ""


def test_a_sentence_that_stops_before_its_object_is_unfinished() -> None:
    source = "Karl Brandt founded the company in 1998."
    assert unfinished("Karl Brandt founded.", source) == "founded"
    assert unfinished("Karl Brandt founded the company.", source) == ""
