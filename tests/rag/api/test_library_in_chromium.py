"""The documents panel in a real browser, over a whole system. Skipped where Debian's chromium is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.pdf_writer import PdfPage, text_width, written

pytestmark = pytest.mark.model
NOISE = bytes(range(256)) * 40
# Left and right end of what is marked on the page's picture, in its pixels.
YELLOW = """
    const canvas = document.querySelector("#page");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const found = [];
    for (let place = 0; place < data.length; place += 4) {
      if (data[place] - data[place + 2] > 100) found.push((place / 4) % canvas.width);
    }
    return [Math.min(...found), Math.max(...found)];
"""


@pytest.fixture
def page(browse: Any, house: Any) -> Iterator[Any]:
    """The panel, with nothing in it yet."""
    empty(house)
    with browse(house.url) as page:
        page.until(lambda: "documents" in page.texts("#status")[0])
        page.run("document.querySelector('#open-library').click()")
        page.until(lambda: page.texts("#no-documents:not([hidden])"))
        yield page
    empty(house)


def test_a_citation_opens_the_page_with_its_words_marked(browse: Any, house: Any) -> None:
    first, second = PdfPage(300, 200), PdfPage(300, 200)
    first.text(20, 150, "Hotels are paid up to 140 euros a night.", 9)
    second.text(20, 150, "Taxis are not reimbursed. Trains are paid in full.", 9)
    (document_id,) = house.live("default", travel__pdf=written([first, second]))
    (chunk,) = house.http.get(f"/v1/documents/{document_id}/chunks").json()["chunks"]
    quote = "Trains are paid in full."
    start = chunk["text"].index(quote)
    cited = {"title": "Travel", "uri": "travel.pdf", "quote": quote, "document_id": document_id, "page": 1}
    cited |= {"chunk_id": chunk["id"], "start": start, "end": start + len(quote), "boxes": chunk["boxes"]}
    with browse(house.url) as page:
        page.run("openSource('Citation 1', arguments[0])", cited)
        page.until(lambda: page.run("return document.querySelector('#page').hidden") is False)
        assert page.texts("#source-where") == ["page 2"], "the page that holds the words"
        left, right = (110 / 72 * edge for edge in (20 + text_width("Taxis are not reimbursed. ", 9), 300))
        edges = page.run(YELLOW)
        assert edges[0] == pytest.approx(left, abs=5) and edges[1] < right
        page.photograph("citation-page")
    empty(house)


def empty(house: Any) -> None:
    for found in house.http.get("/v1/documents").json()["documents"]:
        house.http.delete(f"/v1/documents/{found['id']}")


def row(page: Any, title: str) -> list[str]:
    """Name and state of a document as the list shows them."""
    rows = [text.split("\n") for text in page.texts("#documents li")]
    return next((lines[:2] for lines in rows if lines[0] == title), [])


def test_files_are_chosen_sent_and_shown_with_their_state_and_reason(page: Any, tmp_path: Path) -> None:
    (tmp_path / "leave.md").write_text("# Leave\n\nEmployees have 28 days of paid leave.\n")
    (tmp_path / "noise.bin").write_bytes(NOISE)
    page.type("#files", f"{tmp_path / 'leave.md'}\n{tmp_path / 'noise.bin'}")
    page.until(lambda: page.texts("#library-status") == ["2 of 2 files handed in."])
    page.until(lambda: row(page, "Leave") == ["Leave", "live"])
    page.until(lambda: row(page, "noise.bin") == ["noise.bin", "set aside"])
    assert page.texts("#documents .remark.quarantined")[0]
    page.until(lambda: not page.texts("#runs li"))  # a run ends a moment after its last document
    page.until(lambda: page.texts("#status")[0].startswith("1 document "))
    page.photograph("documents")


def test_a_dropped_file_over_the_limit_is_told_and_the_others_are_taken(page: Any) -> None:
    page.run(
        """
        const dropped = new DataTransfer();
        dropped.items.add(new File(["Hotels are paid up to 140 euros."], "travel.txt"));
        dropped.items.add(new File(["x".repeat(3_000_000)], "big.txt"));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true }));
        """
    )
    page.until(lambda: page.texts("#problems li"))
    assert page.texts("#problems li")[0].startswith("big.txt: big.txt is larger than 100000 bytes")
    page.until(lambda: row(page, "travel.txt") == ["travel.txt", "live"])
    page.forget_log()


def test_a_running_job_is_shown_paused_resumed_and_gone_when_done(page: Any, house: Any) -> None:
    with house.resting():
        house.upload("panel", a__txt="One.", b__txt="Two.")
        page.until(lambda: page.texts("#runs li"))
        assert "upload into panel" in page.texts("#runs li")[0]
        assert page.texts("#runs .where") == ["0 of 2 documents · starting"]
        page.run("document.querySelector('#runs button').focus()")
        page.press("\ue007")
        page.until(lambda: page.texts("#runs .where") == ["0 of 2 documents · paused"])
        focused = "return document.activeElement.getAttribute('aria-label')"
        assert page.run(focused) == "Resume upload into panel"
        page.photograph("paused")
        page.press("\ue007")
        page.until(lambda: page.texts("#runs .where") == ["0 of 2 documents · starting"])
    page.until(lambda: not page.texts("#runs li"))
    page.until(lambda: row(page, "a.txt") == ["a.txt", "live"])


def test_a_document_is_deleted_after_a_question_that_can_be_declined(page: Any, house: Any) -> None:
    house.live("panel", old__txt="Old words.")
    page.until(lambda: row(page, "old.txt"))
    page.run("document.querySelector('#documents button').click()")
    page.until(lambda: page.texts("#confirm[open] h2") == ["Delete old.txt?"])
    page.photograph("confirm")
    page.press("\ue007")  # the button that keeps it has the focus
    page.until(lambda: not page.texts("#confirm[open]"))
    assert row(page, "old.txt")
    page.run("document.querySelector('#documents button').click()")
    page.run("document.querySelector('#confirm .danger').click()")
    page.until(lambda: page.texts("#library-status") == ["old.txt is deleted."])
    assert page.texts("#documents li") == []


def test_the_panel_is_used_with_the_keyboard_alone_and_fits_a_phone(browse: Any, house: Any) -> None:
    with browse(house.url, dark=True, size="420,800") as page:
        page.until(lambda: "document" in page.texts("#status")[0])
        page.run("document.querySelector('#open-library').focus()")
        page.press("\ue007")
        page.until(lambda: page.texts("#library[open]"))
        reached = []
        for _ in range(3):
            reached.append(page.run("return document.activeElement.id || document.activeElement.innerText"))
            page.press("\ue004")
        assert reached == ["Close", "files", "collection"]
        wide = "const box = document.querySelector('#library'); return box.scrollWidth - box.clientWidth"
        assert page.run(wide) == 0
        page.photograph("documents-phone-dark")
        page.press("\ue00c")
        page.until(lambda: not page.texts("#library[open]"))


def test_markup_in_a_name_stays_text(page: Any, house: Any) -> None:
    hostile = '<img src=x onerror="document.title=1">.txt'
    reply = house.http.post("/v1/documents", files={"file": (hostile, b"Words.")})
    house.finish(reply.json()["job"])
    page.until(lambda: row(page, hostile) == [hostile, "live"])
    assert page.run("return document.title") == "Permafrost"
    assert page.run("return document.querySelectorAll('#documents img').length") == 0
