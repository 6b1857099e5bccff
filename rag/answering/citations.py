"""Citations: the words an answer rests on, with where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from rag.answering.sentences import Sentence
from rag.store.catalog import StoredChunk
from rag.types import Box, Chunk, Citation, Passage


class Citations:
    """The numbered citations of one answer; the same words keep their number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._cited: dict[tuple[str, int, int], Citation] = {}

    @property
    def all(self) -> tuple[Citation, ...]:
        return tuple(self._cited.values())

    def __contains__(self, place: tuple[Passage, Sentence]) -> bool:
        return key(*place) in self._cited

    def add(self, passage: Passage, sentence: Sentence, *, score: float) -> int | None:
        """The number of the citation of these words; None when they would be one too many."""
        if found := self._cited.get(key(passage, sentence)):
            return found.marker
        if len(self._cited) >= self.limit:
            return None
        made = cite(passage, sentence, marker=len(self._cited) + 1, score=score)
        self._cited[key(passage, sentence)] = made
        return made.marker


def key(passage: Passage, sentence: Sentence) -> tuple[str, int, int]:
    return passage.chunk.id, sentence.start, sentence.end


def cite(passage: Passage, sentence: Sentence, *, marker: int, score: float) -> Citation:
    """One citation. The quote is cut from the chunk here and nowhere else, so it is verbatim."""
    chunk = passage.chunk
    assert 0 <= sentence.start < sentence.end <= len(chunk.text)
    return Citation(
        marker=marker,
        document_id=passage.document_id,
        title=passage.title,
        uri=passage.uri,
        chunk_id=chunk.id,
        quote=chunk.text[sentence.start : sentence.end],
        start=sentence.start,
        end=sentence.end,
        page=page_of(chunk, sentence.start, sentence.end),
        section=" > ".join(chunk.heading_path),
        header=sentence.context,
        score=score,
        version=passage.version,
        boxes=boxes_of(chunk, sentence.start, sentence.end),
    )


def spoken(citation: Citation) -> str:
    """The quote as a line of an answer; a table row is read with the names of its columns."""
    names, cells = (
        [cell.strip() for cell in row.strip().strip("|").split("|")]
        for row in (citation.header, citation.quote)
    )
    if citation.header and len(names) == len(cells) > 1:
        return "; ".join(
            f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell
        )
    return f"“{' '.join(citation.quote.split())}”"


def quoted(citations: Citations) -> str:
    """The quotes as an answer."""
    return "\n".join(f"{spoken(each)} [{each.marker}]" for each in citations.all)


def page_of(chunk: Chunk, start: int, end: int) -> int | None:
    """The page of chunk.text[start:end]; of several, the one that its place in the text suggests."""
    pages, length, middle = chunk.pages, max(1, len(chunk.text)), (start + end) // 2
    if boxes := boxes_of(chunk, middle, middle + 1):
        return boxes[0].page
    return pages[min(len(pages) - 1, start * len(pages) // length)] if pages else None


def boxes_of(chunk: Chunk, start: int, end: int) -> tuple[Box, ...]:
    """The boxes that hold chunk.text[start:end]: each has its text up to where the next ones start."""
    starts = sorted({box.start for box in chunk.boxes})
    ends = dict(pairwise([*starts, len(chunk.text) + 1]))
    found = tuple(box for box in chunk.boxes if box.start < end and start < ends[box.start])
    # Words before the first box have none of their own: those of a heading, say.
    return found or tuple(box for box in chunk.boxes if box.start == starts[0])


def stands(citation: Citation, live: Mapping[str, StoredChunk]) -> bool:
    """Whether a citation still says what the live chunk says: `live` holds what the reader may read now."""
    stored = live.get(citation.chunk_id)
    return (
        stored is not None
        and stored.document.id == citation.document_id
        and stored.document.version == citation.version
        and stored.chunk.text[citation.start : citation.end] == citation.quote != ""
    )
