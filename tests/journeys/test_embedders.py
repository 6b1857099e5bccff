"""An embedder of one's own, from its folder: it must decline as well as the bundled one, and lose no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.doctor import embedder
from rag.errors import SettingsError
from rag.models.intake import Wish, add
from rag.models.shelf import Shelf
from rag.sdk import Rag
from rag.types import Outcome

pytestmark = pytest.mark.model

ASKED = {
    "How many days of paid leave do employees have?": "28 days",
    "How much is paid for a hotel night abroad?": "190 euros",
    "What do visitors wear?": "yellow badge",
    "How much does the company pay towards a gym membership?": "",
    "Who won the football match on Sunday?": "",
    "What is the boiling point of nitrogen?": "",
}


def test_it_answers_and_declines_as_the_bundled_one_does(
    tmp_path: Path, handbook: Path, crowded_model: Path
) -> None:
    model = add(Shelf(tmp_path / "kb"), crowded_model, Wish(name="ours"))
    assert (model.kind, model.document_prompt) == ("embedder", "passage: ")
    embedding = {"model": "ours", "dtype": "float32"}
    with Rag.open(tmp_path / "kb", answering={"tier": "extract"}, embedding=embedding) as rag:
        assert rag.ingest(handbook).new == 4
        for question, expected in ASKED.items():
            answer = rag.ask(question, tier="extract")
            assert (answer.outcome is Outcome.NOT_FOUND) == (not expected), (question, answer.text)
            assert expected in answer.text, question
        info = rag._loop.run(rag.system.vectors.info())
    found = embedder(info)
    assert found.good and "unrelated texts have cosines of 0.7" in found.detail
    assert "questions begin with 'query: ', passages with 'passage: ' (set)" in found.detail
    changed = embedding | {"document_prompt": "text: "}
    with Rag.open(tmp_path / "kb", answering={"tier": "extract"}, embedding=changed) as rag:
        with pytest.raises(SettingsError, match="document_prompt None, now 'text: '.*`rag reindex`"):
            rag.ingest(handbook)
        assert "28 days" in rag.ask("How many days of paid leave do employees have?", tier="extract").text
