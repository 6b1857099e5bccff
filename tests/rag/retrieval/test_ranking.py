"""What the documents of the hits add to the fused scores."""

from __future__ import annotations

import pytest

from rag.retrieval.fusion import Fused
from rag.retrieval.ranking import SHARES, Candidate, mentions, rank
from rag.retrieval.scope import Scope
from rag.store.catalog import StoredChunk
from rag.types import Chunk, Document, DocumentState


def found(key: str, title: str, text: str, score: float) -> tuple[Fused, StoredChunk]:
    document = Document(title, title, title, "c", "t", "", 1, DocumentState.LIVE)
    return Fused(key, None, score, 0.0, score), StoredChunk(Chunk(key, 0, text), document)


def ranked(question: str, *hits: tuple[Fused, StoredChunk]) -> list[Candidate]:
    return rank(question, Scope.of(question), hits)


def keys(question: str, *hits: tuple[Fused, StoredChunk]) -> list[str]:
    return [candidate.hit.id for candidate in ranked(question, *hits)]


REPORTS = (
    found("old", "2022 Q3 ACME", "Gross margin was 40.1 percent.", 0.61),
    found("other", "2023 Q1 ACME", "Gross margin was 41.7 percent.", 0.60),
    found("new", "2023 Q3 ACME", "Gross margin was 44.5 percent.", 0.55),
)


def test_the_period_of_the_question_decides_between_reports_that_read_alike() -> None:
    assert keys("gross margin in the first quarter of 2023", *REPORTS)[0] == "other"
    assert keys("gross margin in Q3 2022", *REPORTS)[0] == "old"


def test_the_latest_report_comes_first_when_it_is_asked_for() -> None:
    assert keys("gross margin in the latest report", *REPORTS)[0] == "new"
    assert keys("gross margin", *REPORTS) == ["old", "other", "new"]


def test_the_company_is_known_from_the_other_pages_of_its_report() -> None:
    hits = (
        found("b", "2023 Q1 BETA", "Revenue grew.", 0.60),
        found("a", "2023 Q1 ACME", "Revenue grew.", 0.55),
        found("cover", "2023 Q1 ACME", "Acme Works Limited", 0.10),
    )
    assert keys("How did the revenue of Acme Works grow?", *hits)[0] == "a"


def test_a_title_that_a_good_hit_mentions_is_the_second_step() -> None:
    hits = (
        found("film", "The Long Weekend (film)", "It was directed by Mira Stone in Oslo.", 0.9),
        found("city", "Bergen", "Bergen is a town.", 0.50),
        found("who", "Mira Stone", "She was born in 1961.", 0.45),
    )
    order = ranked("Where was the director of the long weekend born?", *hits)
    assert [candidate.hit.id for candidate in order] == ["film", "who", "city"]
    assert order[1].signals["link"] == pytest.approx(SHARES["link"] * order[0].score)


def test_a_title_is_mentioned_as_a_name_and_not_inside_a_word() -> None:
    assert mentions("Born in Bergen, Norway", "Bergen (town)")
    assert not mentions("The Bergenese are friendly", "Bergen")
    assert not mentions("all sales of the year", "sales")
    assert not mentions("An A and a B", "A")


def test_the_signals_of_a_candidate_are_its_score() -> None:
    best = ranked("Gross margin of Acme in Q3 2023", *REPORTS)[0]
    assert best.hit.id == "new"
    assert best.signals.keys() == {"dense", "bm25", "period", "names", "title"}
    assert best.signals["period"] == pytest.approx(2 * SHARES["period"])
    assert best.score == pytest.approx(sum(best.signals.values()))
