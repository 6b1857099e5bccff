"""The marks of a quote cover its own characters and no others, on PDFs whose every line was placed here."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import pytest

from ingest.chunking import chunk
from ingest.parsing import pages, pdf, quotes
from ingest.parsing.blocks import cleaned
from ingest.parsing.quotes import Quote
from ingest.parsing.words import Edges, Letter
from rag.types import Box, Chunk
from tests.bench.pdf_writer import PdfPage, text_width, written

WORDS = re.findall(
    r"\w+",
    """the annual leave of employees travel expenses hotel nights are paid up to euros when a manager agrees
    in writing before contract notice period applies unless both parties decide otherwise and records kept""",
)


class Printed(NamedTuple):
    """Words on a page where they were put: from the lower left corner, as PDF has it."""

    text: str
    page: int
    left: float
    base: float
    right: float


def word_spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def chunks_of(data: bytes) -> list[Chunk]:
    return chunk(cleaned(pdf.parse(data)).blocks, word_spans, budget=400)


def marked(data: bytes, words: str, *, nth: int = 0, chunks: Iterable[Chunk] = ()) -> dict[int, list[Edges]]:
    """The marks of the nth place where a chunk of the document says these words."""
    spans = [
        (each, place, place + len(words))
        for each in chunks or chunks_of(data)
        for place in places(each.text, words)
    ]
    found, start, end = spans[nth]
    letters = {
        number: quotes.within(
            letters_of(data, number), [Edges(*edges(box)) for box in found.boxes if box.page == number]
        )
        for number in found.pages
    }
    return quotes.marks(Quote(found.text, start, end), letters)


@lru_cache(maxsize=4)
def letters_of(data: bytes, number: int) -> list[Letter]:
    with pages.opened(data) as document, pages.page_of(document, number - 1) as page:
        assert page is not None
        return page.letters(50_000)


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def places(text: str, words: str) -> Iterable[int]:
    place = text.find(words)
    while place >= 0:
        yield place
        place = text.find(words, place + 1)


def put(page: PdfPage, x: float, y: float, text: str, size: float = 10, more: str = "") -> None:
    page.text(x, y, text, size, more=more)


def line(x: float, base: float, text: str, height: float, size: float = 10) -> tuple[float, ...]:
    """Where a line stands as marks have it: left, right, and its base line from the top."""
    return x, x + text_width(text, size), height - base


def seen(mark: Edges) -> tuple[float, ...]:
    """Left and right of a mark, and the base line, which is a fifth above its lower edge."""
    return mark.left, mark.right, mark.bottom - 0.2 * mark.height


def test_only_the_words_of_a_sentence_are_marked_a_rectangle_for_each_line() -> None:
    page = PdfPage()
    rows = [
        "Leave is granted to all. Hotels are paid",
        "up to 140 euros a night. Taxis are not",
        "reimbursed.",
    ]
    for number, row in enumerate(rows):
        put(page, 80, 700 - 13 * number, row)
    (found,) = marked(written([page]), "Hotels are paid up to 140 euros a night.").values()
    start = 80 + text_width("Leave is granted to all. ", 10)
    assert [seen(each) for each in found] == [
        pytest.approx(line(start, 700, "Hotels are paid", 842), abs=1.5),
        pytest.approx(line(80, 687, "up to 140 euros a night.", 842), abs=1.5),
    ]


def test_of_words_that_stand_several_times_those_with_the_quote_s_neighbours_are_marked() -> None:
    page = PdfPage()
    for number, year in enumerate((2023, 2024, 2025)):
        put(page, 80, 700 - 13 * number, f"In {year} the fee is 40 euros. That was decided.")
    for nth in range(3):
        (found,) = marked(written([page]), "the fee is 40 euros.", nth=nth).values()
        start = 80 + text_width("In 2023 ", 10)
        expected = line(start, 700 - 13 * nth, "the fee is 40 euros.", 842)
        assert [seen(each) for each in found] == [pytest.approx(expected, abs=1.5)]


def test_the_same_words_outside_the_boxes_of_the_chunk_are_not_marked() -> None:
    page = PdfPage()
    put(page, 80, 780, "Fees", 20)
    put(page, 80, 750, "The fee is 40 euros.")
    put(page, 80, 500, "Refunds", 20)
    put(page, 80, 470, "The fee is 40 euros.")
    data = written([page])
    first, second = (marked(data, "The fee is 40 euros.", nth=nth)[1][0].top for nth in (0, 1))
    assert first == pytest.approx(842 - 760, abs=4) and second == pytest.approx(842 - 480, abs=4)


def test_a_word_cut_at_a_line_end_is_marked_on_both_lines_with_its_hyphen() -> None:
    page = PdfPage()
    put(page, 80, 700, "All costs of the reimburse-")
    put(page, 80, 687, "ment are borne by us.")
    (found,) = marked(written([page]), "reimbursement").values()
    start = 80 + text_width("All costs of the ", 10)
    assert [seen(each) for each in found] == [
        pytest.approx(line(start, 700, "reimburse-", 842), abs=1.5),
        pytest.approx(line(80, 687, "ment", 842), abs=1.5),
    ]


def test_two_columns_keep_their_marks_apart() -> None:
    page = PdfPage()
    for x, side in ((60, "Left"), (320, "Right")):
        for number in range(8):
            put(page, x, 700 - 13 * number, f"{side} line {number} is as long as lines of columns are")
    (found,) = marked(written([page]), "columns are Left line 4 is").values()
    assert len(found) == 2
    assert all(59 < each.left < each.right < 300 for each in found)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("cropped", [False, True])
def test_on_turned_and_cropped_pages_the_marks_are_where_the_page_is_shown(
    rotation: int, cropped: bool
) -> None:
    extra = f"/Rotate {rotation}" + (" /CropBox [50 100 500 800]" if cropped else "")
    page = PdfPage(extra=extra)
    put(page, 80, 700, "Leave is granted. Hotels are paid. Taxis are not.")
    (found,) = marked(written([page]), "Hotels are paid.").values()
    left = 80 + text_width("Leave is granted. ", 10)
    right = left + text_width("Hotels are paid.", 10)
    x, y, width, height = (50, 100, 450, 700) if cropped else (0, 0, 595, 842)
    left, right, low, high = left - x, right - x, 698 - y, 708 - y
    expected = {
        0: (left, height - high, right, height - low),
        90: (low, left, high, right),
        180: (width - right, low, width - left, high),
        270: (height - high, width - right, height - low, width - left),
    }[rotation]
    assert [tuple(each) for each in found] == [pytest.approx(expected, abs=2.5)]


def test_hidden_words_between_those_of_a_quote_are_not_marked() -> None:
    page = PdfPage()
    put(page, 80, 700, "Hotels are paid in every case ")
    start = 80 + text_width("Hotels are paid in every case ", 10)
    put(page, start, 700, "never and to nobody ", more="1 g")
    after = start + text_width("never and to nobody ", 10)
    put(page, after, 700, "up to 140 euros a night.")
    put(page, 80, 687, "Taxis are not reimbursed at all.")
    (found,) = marked(written([page]), "Hotels are paid in every case up to 140 euros a night.").values()
    assert [(round(each.left), round(each.right)) for each in found] == [
        (80, pytest.approx(start, abs=4)),
        (
            pytest.approx(after, abs=2),
            pytest.approx(after + text_width("up to 140 euros a night.", 10), abs=2),
        ),
    ]


def test_a_row_of_a_table_that_was_written_by_columns_is_marked_cell_by_cell() -> None:
    page = PdfPage()
    rows = [
        ("Item", "Limit", "Needs"),
        ("Hotel", "140", "receipt"),
        ("Taxi", "30", "reason"),
        ("Meal", "28", "none"),
    ]
    for column in range(3):
        for number, row in enumerate(rows):
            put(page, 80 + 120 * column, 700 - 16 * number, row[column])
    for height in range(5):
        page.line(76, 712 - 16 * height, 420, 712 - 16 * height)
    for x in (76, 196, 316, 420):
        page.line(x, 712, x, 648)
    (found,) = marked(written([page]), "Taxi | 30 | reason").values()
    assert [seen(each) for each in found] == [
        pytest.approx(line(80 + 120 * column, 668, cell, 842), abs=1.5) for column, cell in enumerate(rows[2])
    ]


def test_words_that_are_not_on_the_page_are_not_marked() -> None:
    page = PdfPage()
    put(page, 80, 700, "Hotels are paid up to 140 euros a night.")
    (other,) = chunks_of(written([page]))
    stranger = Chunk("", 0, "Trains are never late.", pages=(1,), boxes=other.boxes)
    assert marked(written([page]), "Trains are never late.", chunks=[stranger]) == {}


def test_a_part_is_marked_when_the_rest_of_the_quote_is_gone() -> None:
    page = PdfPage()
    put(page, 80, 700, "Hotels are paid up to 140 euros a night.")
    (kept,) = chunks_of(written([page]))
    text = "Whoever travels knows that hotels exist. " + kept.text
    longer = Chunk("", 0, text, pages=(1,), boxes=kept.boxes)
    ((mark,),) = marked(written([page]), text, chunks=[longer]).values()
    assert seen(mark) == pytest.approx(line(80, 700, kept.text, 842), abs=1.5)


def test_writing_that_runs_upwards_gets_one_mark() -> None:
    page = PdfPage()
    page.operators.append(
        "q BT /F1 10 Tf 0 1 -1 0 100 200 Tm (Hotels are paid up to 140 euros a night.) Tj ET Q"
    )
    (found,) = marked(written([page]), "Hotels are paid up to 140 euros a night.").values()
    assert len(found) == 1
    assert found[0].height == pytest.approx(text_width("Hotels are paid up to 140 euros a night.", 10), abs=2)


def test_every_sentence_of_many_made_pages_is_covered_and_nothing_else() -> None:
    """Repeated words, cut words, two columns: each sentence against where its words were put."""
    rnd = random.Random(20261121)
    covered = judged = strange = 0
    for _ in range(8):
        page, printed, sentences = two_columns(rnd)
        data = written([page])
        chunks = chunks_of(data)
        for sentence, words in zip(sentences, printed, strict=True):
            if not any(sentence in each.text for each in chunks):
                continue  # cut words whose hyphen the parser kept
            judged += 1
            rectangles = [each for found in marked(data, sentence, chunks=chunks).values() for each in found]
            covered += all(any(each.holds(*middle(word)) for each in rectangles) for word in words)
            strange += any(
                each.holds(*middle(word))
                for other in printed
                if other is not words
                for word in other
                for each in rectangles
            )
    assert judged > 120
    assert covered == judged and strange == 0


def middle(word: Printed) -> tuple[float, float]:
    return (word.left + word.right) / 2, 842 - word.base - 3


def two_columns(rnd: random.Random) -> tuple[PdfPage, list[list[Printed]], list[str]]:
    """A page of sentences from few words, and where each word of each sentence stands."""
    page, printed, sentences = PdfPage(), [], []
    space, x, y, column = text_width(" ", 9), 60.0, 780.0, 0
    for number in range(26):
        words = [*(rnd.choice(WORDS) for _ in range(rnd.randrange(5, 16))), f"{number}."]
        words[0] = words[0].capitalize()
        here: list[Printed] = []
        for word in words:
            width, left = text_width(word, 9), 60 + 250 * column
            parts = [word]
            if x + width > left + 215 and len(word) > 7 and x + text_width(word[:4] + "-", 9) <= left + 215:
                parts = [word[:4] + "-", word[4:]]
            for part in parts:
                if x + text_width(part, 9) > left + 215:
                    x, y = left, y - 11.5
                    if y < 600:
                        column, y = column + 1, 780.0
                        x = left = 60 + 250 * column
                put(page, x, y, part, 9)
                here.append(Printed(part, 1, x, y, x + text_width(part, 9)))
                x += text_width(part, 9) + space
        printed.append(here)
        sentences.append(" ".join(words))
        if column > 1:
            break
    return page, printed, sentences


def test_a_page_of_one_letter_over_and_over_is_searched_in_little_time() -> None:
    letters = [Letter("a", n % 500, n // 500, n % 500 + 1, n // 500 + 1) for n in range(50_000)]
    text = ("a" * 40 + "b") * 60
    started = time.process_time()
    assert quotes.marks(Quote(text, 0, len(text)), {1: letters})
    assert time.process_time() - started < 10
