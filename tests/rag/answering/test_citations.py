"""Citations are verbatim, numbered once and limited."""

from __future__ import annotations

from dataclasses import replace

from rag.answering.citations import Citations, stands
from rag.answering.sentences import sentences
from rag.store.catalog import StoredChunk
from rag.types import Box, Chunk, Document, DocumentState, Passage

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


def test_a_citation_carries_version_and_the_boxes_that_hold_its_words() -> None:
    top, bottom, over = (
        Box(4, 72, 100, 500, 200, 0),
        Box(4, 72, 210, 500, 310, 12),
        Box(5, 72, 90, 500, 190, 20),
    )
    passage = replace(PASSAGE, chunk=replace(CHUNK, boxes=(top, bottom, over)), version=7)
    citations = Citations(3)
    for sentence in sentences(CHUNK.text):
        citations.add(passage, sentence, score=0.5)
    first, second, third = citations.all
    assert first.boxes == (top,) and first.version == 7
    assert second.boxes == (top, bottom, over) and third.boxes == (over,)


def test_of_several_pages_a_citation_names_the_one_whose_boxes_hold_the_middle_of_its_words() -> None:
    end_of_page, next_page = Box(4, 72, 600, 500, 700), Box(5, 72, 100, 500, 700, 12)
    passage = replace(PASSAGE, chunk=replace(CHUNK, boxes=(end_of_page, next_page)))
    citations = Citations(3)
    for sentence in sentences(CHUNK.text):
        citations.add(passage, sentence, score=0.5)
    assert [made.page for made in citations.all] == [4, 5, 5]


def test_words_before_the_first_box_are_cited_with_it() -> None:
    below, further = Box(4, 72, 100, 500, 200, 12), Box(5, 72, 100, 500, 200, 24)
    passage = replace(PASSAGE, chunk=replace(CHUNK, boxes=(below, further)))
    citations = Citations(1)
    citations.add(passage, sentences(CHUNK.text)[0], score=0.5)
    (made,) = citations.all
    assert (made.page, made.boxes) == (4, (below,))


def test_a_citation_stands_only_on_the_live_words_of_its_version() -> None:
    citations = Citations(1)
    citations.add(PASSAGE, sentences(CHUNK.text)[0], score=0.5)
    (made,) = citations.all
    document = Document("d", "/h.pdf", "Handbook", "default", "default", "0", 1, DocumentState.LIVE)
    live = StoredChunk(CHUNK, document)
    assert stands(made, {"c": live})
    assert not stands(made, {})
    assert not stands(made, {"c": replace(live, document=replace(document, version=2))})
    assert not stands(made, {"c": replace(live, chunk=replace(CHUNK, text="Other words."))})
