"""Citations are verbatim, numbered once and limited."""

from __future__ import annotations

from rag.answering.citations import Citations
from rag.answering.sentences import sentences
from rag.types import Chunk, Passage

CHUNK = Chunk("c", 0, "One fact. Another fact. A third.", heading_path=("Rules", "Travel"), pages=(4, 5))
PASSAGE = Passage(CHUNK, "d", 1, "Handbook", "/h.pdf", 1.0)


def test_a_quote_is_cut_from_its_chunk_with_page_and_section() -> None:
    citations = Citations(2)
    assert citations.add(PASSAGE, sentences(CHUNK.text)[1], score=0.5) == 1
    (made,) = citations.all
    assert made.quote == CHUNK.text[made.start : made.end] == "Another fact."
    assert (made.page, made.section, made.title) == (4, "Rules > Travel", "Handbook")


def test_the_same_words_keep_their_number_and_one_too_many_gets_none() -> None:
    first, second, third = sentences(CHUNK.text)
    citations = Citations(2)
    assert [citations.add(PASSAGE, each, score=0.1) for each in (first, second, first, third)] == [
        1,
        2,
        1,
        None,
    ]
    assert len(citations.all) == 2
