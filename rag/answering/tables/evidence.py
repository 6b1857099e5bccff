"""The tables of the passages found for a question: parts of one table put together, and the rows to cite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rag.answering.citations import Citations
from rag.answering.sentences import Sentence, sentences
from rag.answering.tables.grid import Grid, grids
from rag.answering.tables.matching import words
from rag.answering.tables.reckoner import is_reckoned, reckon
from rag.answering.tables.reckoning import Reckoning
from rag.store.catalog import StoredChunk
from rag.types import Passage

# Of the best passage's score: a table of a passage further down is about something else.
NEAR_THE_BEST = 0.5
MOST_ROWS = 24  # that an answer may cite
# Of the answers given on the half of tatqa's questions that no rule was written on, the part that was right.
PRECISION = 0.91


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer worked out of a table, and the rows that it rests on, each once."""

    reckoning: Reckoning
    rows: tuple[tuple[Passage, Sentence], ...]

    def shown(self, citations: Citations) -> str:
        """The answer with its formula and the markers of its rows."""
        markers = (citations.add(each, row, score=self.reckoning.score) for each, row in self.rows)
        formula = f" = {self.reckoning.formula}" if self.reckoning.formula else ""
        return f"{self.reckoning.text}{formula} {''.join(f'[{marker}]' for marker in markers)}"


def compute(question: str, passages: Sequence[Passage]) -> Computed | None:
    """The answer that a table of the passages gives; None where that is not sure."""
    if not is_reckoned(question):
        return None
    best = max((each.score for each in passages), default=0.0)
    near = [each for each in passages if each.score >= NEAR_THE_BEST * best]
    tables = joined([(each, n) for n, each in enumerate(near)])
    try:
        found = reckon(question, tables) if tables else None
    finally:
        words.cache_clear()  # words of documents must not outlive the answer
    if found is None:
        return None
    rows = [row_of(near[place.cell.source], place.cell.start) for place in found.places]
    if not all(rows) or len(set(rows)) > MOST_ROWS:
        return None
    return Computed(found, tuple(dict.fromkeys(row for row in rows if row)))


def cut_off(found: Computed, beside: Mapping[str, Sequence[StoredChunk]]) -> list[Passage]:
    """Parts of the tables that an answer rests on which it did not see.

    `beside`: the chunks next to those that it cites. A part repeats the heads of its table's columns.
    """
    cited = {passage.chunk.id: passage for passage, _ in found.rows}
    heads = {row.context for _, row in found.rows}
    return [
        replace(cited[key], chunk=stored.chunk, dense=None, sparse=None, signals=(), expands=key)
        for key, near in beside.items()
        for stored in near
        if stored.chunk.id not in cited and any(row.context in heads for row in rows_of(stored.chunk.text))
    ]


def rows_of(text: str) -> list[Sentence]:
    return [each for each in sentences(text) if each.context]


def joined(passages: Sequence[tuple[Passage, int]]) -> list[Grid]:
    """The tables of all passages; those of one document under the same columns are parts of one."""
    found: dict[object, Grid] = {}
    ordered = sorted(passages, key=lambda pair: (pair[0].document_id, pair[0].chunk.ordinal))
    for passage, number in ordered:
        heading = " ".join((passage.title, *passage.chunk.heading_path))
        topic = passage.chunk.heading_path[-1] if passage.chunk.heading_path else ""
        language = passage.chunk.language
        for grid in grids(passage.chunk.text, heading=heading, topic=topic, language=language, source=number):
            key = (passage.document_id, passage.chunk.section, passage.chunk.heading_path, grid.columns)
            part = found.get(key)
            found[key] = (
                replace(part, rows=part.rows + grid.rows, cells=part.cells + grid.cells)
                if part
                else replace(grid, document=passage.document_id)
            )
    return list(found.values())


def row_of(passage: Passage, start: int) -> tuple[Passage, Sentence] | None:
    """The row of a passage that holds a place."""
    found = (
        each for each in sentences(passage.chunk.text) if each.start <= start < max(each.end, each.start + 1)
    )
    sentence = next(found, None)
    return (passage, sentence) if sentence else None
