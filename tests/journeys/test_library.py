"""Permafrost as a library in this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.assistant import Delta, Final, Sources
from rag.errors import UnknownModel
from rag.integrations.langchain import ChatPermafrost
from rag.sdk import Rag
from rag.types import Outcome

pytestmark = pytest.mark.model


def test_a_folder_is_fed_searched_asked_and_streamed(
    tmp_path: Path, handbook: Path, family: Callable[[int], list[int]], gone: Callable[[list[int]], bool]
) -> None:
    before = set(family(os.getpid()))
    with Rag.open(tmp_path / "kb", engine={"context": 2048, "tune": False}) as rag:
        summary = rag.ingest(handbook)
        assert (summary.new, summary.quarantined) == (4, ())
        assert rag.ingest(handbook).unchanged == 4
        assert len(rag.documents()) == 4
        assert "140 euros" in rag.search("price of a hotel night")[0].chunk.text

        answer = rag.ask("What do visitors wear?")
        assert answer.outcome in (Outcome.ANSWERED, Outcome.QUOTED)
        assert "yellow badge" in answer.text

        events = list(rag.stream("What do visitors wear?", tier="small"))
        assert isinstance(events[0], Sources)
        assert isinstance(events[-1], Final)
        assert "".join(event.text for event in events if isinstance(event, Delta)) == events[-1].answer.text

        with contextlib.closing(rag.stream("How many days of paid leave?")) as left_early:
            next(left_early)
        assert (
            "yellow badge"
            in ChatPermafrost(source=rag, model="extract").invoke("What do visitors wear?").text
        )
        with pytest.raises(UnknownModel, match="no tier 'huge'; have auto, extract, small"):
            rag.ask("anything", tier="huge")
        started = [pid for pid in family(os.getpid()) if pid not in before]
        assert started
    assert gone(started)
