"""Citations: the words an answer rests on, with where they stand."""

from __future__ import annotations

from rag.answering.sentences import Sentence
from rag.types import Citation, Passage


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
        page=page_of(passage, sentence),
        section=" > ".join(chunk.heading_path),
        header=sentence.context,
        score=score,
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


def page_of(passage: Passage, sentence: Sentence) -> int | None:
    """The page of a chunk; over several pages, the one that the sentence's place in the text suggests."""
    pages = passage.chunk.pages
    if not pages:
        return None
    return pages[min(len(pages) - 1, sentence.start * len(pages) // max(1, len(passage.chunk.text)))]
