"""What is reserved before a question is asked is never less than what it can take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from rag.answering.docket import Clerk, Docket
from rag.answering.manner import AS_SET, Manner
from rag.engine.generator import Priority
from rag.errors import BudgetExceeded
from rag.routing.opening import open_voices
from rag.settings import BudgetSettings, Settings
from rag.types import Principal
from tests.rag.cost.conftest import Books

pytestmark = pytest.mark.model
SIGNS = "𒀀𒀁𒀂" * 400  # three to four tokens each in most vocabularies


@pytest.fixture
def clerk(books: Books, tmp_path: Path) -> Iterator[Clerk]:
    """Opens dockets of the tier `small`, whose model is not started for it."""
    settings = Settings(home=tmp_path)
    budget = BudgetSettings(scope="tenant", unit="seconds", limit=1000)
    voices = open_voices(settings)
    nowhere = cast(Any, None)  # the tier is named: nothing is looked up
    yield Clerk(voices, books(budgets=[budget]), nowhere, settings.answering)
    asyncio.run(voices.close())


def opened(clerk: Clerk, question: str, manner: Manner = AS_SET) -> Docket:
    asked = {"history": (), "collection": None, "request_id": "", "before": "", "most": 0.0}
    return asyncio.run(clerk.open(question, question, Principal(), tier="small", manner=manner, **asked))


def test_signs_that_take_several_tokens_each_are_reserved_for(clerk: Clerk) -> None:
    docket = opened(clerk, SIGNS)
    assert docket.ticket.plan.prompt_tokens >= len(SIGNS.encode())
    docket.ticket.settle()


def test_work_that_nobody_waits_for_is_told_to_come_again_and_a_reader_is_refused(clerk: Clerk) -> None:
    for priority, reason in (Priority.BATCH, "queue"), (Priority.INTERACTIVE, "cost_cap_exceeded"):
        with pytest.raises(BudgetExceeded) as refused:
            opened(clerk, SIGNS * 10, Manner(max_tokens=2000, priority=priority))
        assert refused.value.reason == reason
