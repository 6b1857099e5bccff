"""What a question limits itself to."""

from __future__ import annotations

import pytest

from rag.retrieval.scope import Period, Scope, edition


@pytest.mark.parametrize(
    "text",
    [
        "Q3 2023",
        "2023_Q3_report",
        "2023Q3",
        "the third quarter of 2023",
        "third fiscal quarter 2023",
        "im dritten Quartal 2023",
    ],
)
def test_a_period_is_read_however_it_is_written(text: str) -> None:
    assert Period.of(text) == Period(frozenset({2023}), frozenset({3}))


@pytest.mark.parametrize("text", ["12023 steps", "What does Q7 mean?", "1492", "quarters"])
def test_other_numbers_are_no_period(text: str) -> None:
    assert not Period.of(text)


def test_a_document_agrees_contradicts_or_says_nothing() -> None:
    asked = Period.of("Q1 2023")
    assert Period.of("Report 2023 Q1").agreement(asked) == 2
    assert Period.of("Report 2023 Q2").agreement(asked) == 0
    assert Period.of("Report 2022 Q3").agreement(asked) == -2
    assert Period.of("Report").agreement(asked) == 0


def test_a_table_of_years_contradicts_none_of_them() -> None:
    assert Period.of("Sales 2017 2018 2019").agreement(Period.of("in 2016")) == 0
    assert Period.of("Sales 2017 2018 2019").agreement(Period.of("in 2018")) == 1


def test_names_are_words_with_a_capital_and_nothing_else() -> None:
    assert Scope.of("What did NVIDIA and Apple's board say in Q3 2022?").names == {"nvidia", "apple"}
    assert Scope.of("How do I ask for leave?").names == set()


def test_the_latest_is_asked_for_only_without_a_period() -> None:
    assert Scope.of("What is the gross margin in the most recent report?").latest
    assert not Scope.of("What was the latest news in 2021?").latest
    assert not Scope.of("What was the gross margin?").latest


def test_editions_of_a_series_are_ordered_by_year_and_quarter() -> None:
    titles = ["2022 Q3 AAPL", "2023 Q1 AAPL", "2023 Q3 AAPL"]
    assert {edition(title)[0] for title in titles} == {"aapl"}
    assert sorted(titles, key=lambda title: edition(title)[1]) == titles
    assert edition("Travel policy v2")[1] > edition("Travel policy v1")[1]


def test_before_a_year_means_the_editions_in_front_of_it() -> None:
    asked = Scope.of("How many days could be carried over before 2024?").period
    assert [Period.of(f"Leave policy {year}").agreement(asked) for year in (2022, 2023, 2024)] == [1, 1, -1]
    assert Scope.of("What held before May 2024?").period.before == 0
