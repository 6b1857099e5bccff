"""Which bar of confidence loses how many answers, so that an operator can choose."""

from __future__ import annotations

import pytest

from rag.evaluation.commands.quality import bars as shown
from rag.evaluation.declining import Bar, declining
from rag.evaluation.page import page
from rag.evaluation.record import Asked, Record


def asked(number: int, confidence: float | None, *, answerable: bool) -> Asked:
    scores = {"answered": 1.0} if answerable else {"declined": 0.0}
    return Asked(
        f"{answerable}{number}", f"Question {number}?", scores | {"right": 1.0}, confidence=confidence
    )


def record(yes: list[float], no: list[float]) -> Record:
    found = [asked(n, one, answerable=True) for n, one in enumerate(yes)]
    found += [asked(n, one, answerable=False) for n, one in enumerate(no)]
    return Record("answers", "handbook", {}, (*found, asked(0, None, answerable=True)))


SPREAD = record([n / 100 for n in range(100)], [n / 200 for n in range(100)])


def test_each_bar_loses_what_it_says_and_declines_the_others_below_it() -> None:
    choice = declining(SPREAD)
    assert choice is not None
    assert (choice.answerable, choice.unanswerable) == (100, 100)
    assert choice.auc == pytest.approx(0.75, abs=0.01)
    assert choice.bars == (
        Bar(0.01, 0.01, 0.02),
        Bar(0.04, 0.04, 0.08),
        Bar(0.10, 0.10, 0.20),
        Bar(0.20, 0.20, 0.40),
    )


def test_a_bar_of_two_digits_never_loses_more_than_it_says() -> None:
    choice = declining(record([0.317, 0.319, *[0.9] * 23], [0.1, 0.318, 0.5]))
    assert choice is not None
    assert choice.bars == (Bar(0.31, 0.0, 1 / 3), Bar(0.9, 0.08, 1.0))


def test_without_both_kinds_of_questions_there_is_nothing_to_choose() -> None:
    assert declining(record([0.5], [])) is None
    assert declining(record([], [0.5])) is None
    assert "Declining" not in page(record([0.5], []))


def test_it_is_shown_on_the_terminal_and_on_the_page() -> None:
    choice = declining(SPREAD)
    assert choice is not None
    table = shown(choice)
    assert [list(column.cells) for column in table.columns][0] == ["0.01", "0.04", "0.10", "0.20"]
    assert "<th>0.10</th><td class=number>10%</td><td class=number>20%</td>" in page(SPREAD)
