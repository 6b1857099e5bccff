"""Which turns a question in a kept conversation comes after, and who answered them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rag.assistant import Event
from tests.rag.conversations.conftest import OpenLibrary


class Remembering(OpenLibrary):
    """Notes which tier each question says was before it."""

    def ask(self, question: str, *who: Any, before: str = "", **wishes: Any) -> AsyncIterator[Event]:
        self.asked_after.append(before)
        return super().ask(question, *who, before=before, **wishes)


@pytest.fixture
def library(library: Any) -> Any:
    made = Remembering(database=library.database)
    made.asked_after = []
    return made


def ask(service: Any, model: str, conversation: str) -> dict[str, Any]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "How many days of paid leave?"}],
        "rag": {"conversation": conversation},
    }
    found: dict[str, Any] = service.http.post("/v1/chat/completions", json=body).json()["rag"]
    return found


def test_the_tier_of_the_last_answer_goes_with_the_next_question(service: Any) -> None:
    found = ask(service, "small", "new")["conversation"]
    ask(service, "auto", found)
    ask(service, "extract", found)
    ask(service, "auto", found)
    assert service.library.asked_after == ["", "small", "extract", "extract"]
