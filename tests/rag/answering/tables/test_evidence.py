"""A computed answer rests on rows that are cited, also when its table was cut into chunks."""

from __future__ import annotations

from rag.answering.citations import Citations
from rag.answering.tables.evidence import compute
from rag.types import Chunk, Passage

HEAD = "Item | 2025 | 2024"


def passage(rows: str, number: int, *, document: str = "d", score: float = 1.0) -> Passage:
    chunk = Chunk(f"c{number}", number, f"{HEAD}\n{rows}", kind="table", heading_path=("Costs",))
    return Passage(chunk, document, 3, "Budget", "/b", score)


FIRST = passage("Rent | 120 | 100\nPower | 30 | 40", 0)
SECOND = passage("Travel | 60 | 50\nFood | 10 | 8", 1, score=0.8)


def test_rows_of_two_chunks_of_one_table_are_put_together_and_cited() -> None:
    found = compute("What is the ratio of travel to rent in 2025?", [SECOND, FIRST])
    assert found is not None
    citations = Citations(12)
    assert found.shown(citations) == "0.5 = 60 / 120 [1][2]"
    assert [(each.chunk_id, each.quote) for each in citations.all] == [
        ("c1", "Travel | 60 | 50"),
        ("c0", "Rent | 120 | 100"),
    ]
    assert all(each.header == HEAD for each in citations.all)


def test_the_same_row_is_cited_once() -> None:
    found = compute("What was the change in rent from 2024 to 2025?", [FIRST])
    assert found is not None
    assert found.shown(Citations(12)) == "20 = 120 − 100 [1]"


def test_tables_of_two_documents_are_not_mixed() -> None:
    other = passage("Travel | 60 | 50", 1, document="e")
    assert compute("What is the ratio of travel to rent in 2025?", [FIRST, other]) is None


def test_a_table_far_below_the_best_passage_answers_nothing() -> None:
    best = Passage(Chunk("t", 0, "Rent is due on Monday."), "x", 1, "Lease", "/l", 1.0)
    assert compute("What was the rent in 2025?", [best, passage("Rent | 120 | 100", 2, score=0.2)]) is None
