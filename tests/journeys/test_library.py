"""Permafrost as a library in this process."""

from __future__ import annotations

import contextlib
import json
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
    questions = tmp_path / "questions"
    questions.mkdir()
    gold = {"_id": "q", "answers": ["yellow badge"], "answerable": True, "scoring": "em_f1"}
    (questions / "answers.jsonl").write_text(json.dumps(gold) + "\n")
    (questions / "queries.jsonl").write_text('{"_id": "q", "text": "What do visitors wear?"}\n')
    (questions / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tsecurity.txt\t1\n")
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

        kept = rag.ask("What do visitors wear?", tier="extract", conversation="new")
        more = rag.ask("Who meets them?", conversation=kept.conversation)
        assert [each.text for each in rag.conversations.get(kept.conversation).messages] == [
            "What do visitors wear?",
            kept.text,
            "Who meets them?",
            more.text,
        ]
        rag.conversations.give_feedback(kept.conversation, kept.message, "up")
        (judged,) = rag.conversations.feedback()
        assert judged.question == "What do visitors wear?" and "yellow badge" in judged.answer.text
        by_tier = {line.name: line.requests for line in rag.money.usage(by="tier").data}
        assert by_tier["extract"] >= 1

        for kind in ("retrieval", "answers"):
            record = rag.evaluate(questions, kind=kind, tier="extract", collection="default")  # type: ignore[arg-type]
            measure = "hit@1" if kind == "retrieval" else "right"
            assert (record.kind, record.measures()[measure].mean) == (kind, 1.0)

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
