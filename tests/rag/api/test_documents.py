from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from ingest.processing import READING
from rag.errors import Forbidden, NotFound
from rag.rendering import span
from rag.store.queue import Listed, Shelf
from rag.types import Principal, Right
from tests.bench.pdf_writer import PdfPage, text_width, written

pytestmark = pytest.mark.model
SMUGGLED = "../../etc/\u202eleave\u200b.md"


def uri(house: Any, document_id: str) -> str:
    found: str = house.http.get(f"/v1/documents/{document_id}").json()["uri"]
    return found


def test_files_are_taken_in_indexed_and_found(house: Any) -> None:
    reply = house.upload(
        "badges", leave__md="# Badges\n\nVisitors wear a yellow badge.\n", b__txt="Blue walls."
    )
    assert [each["state"] for each in reply["documents"]] == ["pending", "pending"]
    job = house.finish(reply["job"])
    assert (job["state"], job["progress"]["documents"], job["waiting"]) == ("done", 2, 0)
    body = {"query": "What do visitors wear?", "collection": "badges"}
    best = house.http.post("/v1/search", json=body).json()["passages"][0]
    assert best["chunk"]["text"] == "Visitors wear a yellow badge."
    assert best["uri"] == "upload://badges/leave.md"


def test_a_name_stands_for_one_document_and_its_newest_bytes_answer(house: Any) -> None:
    (first,) = house.live("prices", price__txt="The drill costs 129 euros.")
    (second,) = house.live("prices", price__txt="The drill costs 149 euros.")
    assert first == second
    chunks = house.http.get(f"/v1/documents/{first}/chunks").json()["chunks"]
    assert [chunk["text"] for chunk in chunks] == ["The drill costs 149 euros."]
    assert len(house.http.get("/v1/documents", params={"collection": "prices"}).json()["documents"]) == 1


def test_labels_and_readers_are_given_with_the_files(house: Any) -> None:
    fields = {"collection": "labelled", "labels": ["draft", "2026"], "groups": ["everyone"]}
    reply = house.http.post("/v1/documents", files={"file": ("a.txt", b"Words.")}, data=fields).json()
    assert reply["documents"][0]["labels"] == ["2026", "draft"]
    assert reply["documents"][0]["groups"] == ["everyone"]


def test_a_name_loses_its_folders_and_what_does_not_show(house: Any) -> None:
    reply = house.http.post("/v1/documents", files={"file": (SMUGGLED, b"Words.")}, data={"collection": "x"})
    assert reply.json()["documents"][0]["uri"] == "upload://x/leave.md"


@pytest.mark.parametrize(
    ("fields", "files", "message"),
    [
        ({"groups": ["board"]}, {"file": ("a.txt", b"x")}, "not in the group 'board'"),
        ({"collection": "a/b"}, {"file": ("a.txt", b"x")}, "'a/b' cannot be the name"),
        ({"labels": ["x" * 101]}, {"file": ("a.txt", b"x")}, "labels of at most 100"),
        ({"colection": "a"}, {"file": ("a.txt", b"x")}, "no field 'colection'; have file, collection"),
        ({}, {"file": ("..", b"x")}, "'..' is not a file name"),
        ({}, [("file", ("a.txt", b"x")), ("file", ("b/a.txt", b"y"))], "two files of the request"),
        ({"collection": "a"}, {"label": ("", b"")}, "no field 'label'"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_and_leaves_nothing(
    house: Any, fields: Any, files: Any, message: str
) -> None:
    before = kept(house)
    reply = house.http.post("/v1/documents", files=files, data=fields)
    assert reply.status_code == 400
    assert message in reply.json()["error"]["message"]
    assert kept(house) == before


def kept(house: Any) -> set[Path]:
    """The files that a home keeps of what it was sent."""
    return {file for file in (house.system.settings.home / "originals").rglob("*") if file.is_file()}


def test_only_a_form_is_taken(house: Any) -> None:
    reply = house.http.post("/v1/documents", json={"file": "x"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(house: Any) -> None:
    before = kept(house)
    files = [("file", ("small.txt", b"x")), ("file", ("big.txt", b"x" * 5_000_000))]
    reply = house.http.post("/v1/documents", files=files)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "payload_too_large"
    assert "big.txt is larger than 100000 bytes" in reply.json()["error"]["message"]
    assert kept(house) == before


def test_the_limit_of_other_bodies_does_not_bind_files(house: Any) -> None:
    words = " ".join(f"word{number}" for number in range(1300))
    assert len(words) > house.system.settings.server.max_body_bytes
    house.upload("long", long__txt=words)
    assert house.http.post("/v1/search", json={"query": words}).status_code == 413


def test_a_page_of_another_origin_cannot_hand_in_files(house: Any) -> None:
    headers = {"origin": "https://elsewhere.example"}
    reply = house.http.post("/v1/documents", files={"file": ("a.txt", b"x")}, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "origin_refused")


def test_what_cannot_be_read_is_set_aside_with_the_reason(house: Any) -> None:
    reply = house.upload("odd", noise__bin=bytes(range(256)) * 40)
    assert house.finish(reply["job"])["quarantined"] == 1
    found = house.http.get(f"/v1/documents/{reply['documents'][0]['id']}").json()
    assert found["state"] == "quarantined"
    assert found["reason"]
    listed = house.http.get("/v1/documents", params={"state": "quarantined", "collection": "odd"}).json()
    assert [each["id"] for each in listed["documents"]] == [found["id"]]


def test_documents_are_listed_page_by_page(house: Any) -> None:
    names = [f"{letter}.txt" for letter in "abcde"]
    house.upload("pages", **{name.replace(".", "__"): f"Words of {name}." for name in names})
    seen, after, sizes = [], None, []
    while True:
        params = {"collection": "pages", "limit": 2, **({"after": after} if after else {})}
        reply = house.http.get("/v1/documents", params=params).json()
        seen += [each["title"] for each in reply["documents"]]
        sizes.append(len(reply["documents"]))
        if not (after := reply["next"]):
            break
    assert (seen, sizes) == (names, [2, 2, 1])


DEEP = base64.urlsafe_b64encode(b"[" * 3000).decode()


@pytest.mark.parametrize("after", ["x", "WzEsMl0=", "bnVsbA==", "WyJcdWQ4MDAiLCJ4Il0=", DEEP])
def test_a_place_that_is_none_of_ours_is_refused(house: Any, after: str) -> None:
    assert house.http.get("/v1/documents", params={"after": after}).status_code == 400


def test_chunks_come_in_order_and_page_by_page(house: Any) -> None:
    text = "\n\n".join(
        f"# Room {number}\n\n" + f"It has {number} chairs and a window. " * 12 for number in range(6)
    )
    (document_id,) = house.live("rooms", rooms__md=text)
    whole = house.http.get(f"/v1/documents/{document_id}/chunks").json()
    assert whole["next"] is None
    first = house.http.get(f"/v1/documents/{document_id}/chunks", params={"limit": 2}).json()
    rest = house.http.get(f"/v1/documents/{document_id}/chunks", params={"after": first["next"]}).json()
    assert first["chunks"] + rest["chunks"] == whole["chunks"]
    assert [each["ordinal"] for each in whole["chunks"]] == list(range(len(whole["chunks"])))


def test_the_bytes_come_back_as_they_came_to_be_saved_and_not_shown(house: Any) -> None:
    page = b"<html><body><script>alert(1)</script><p>Hotels are paid.</p></body></html>"
    files = {"file": ('Reisen; "é\r\nX: y.html', page)}
    reply = house.http.post("/v1/documents", files=files, data={"collection": "pages of html"}).json()
    house.finish(reply["job"])
    given = house.http.get(f"/v1/documents/{reply['documents'][0]['id']}/content")
    assert given.content == page
    assert given.headers["content-type"] == "application/octet-stream"
    assert given.headers["content-disposition"] == (
        "attachment; filename=\"Reisen; __X: y.html\"; filename*=UTF-8''Reisen%3B%20%22%C3%A9X%3A%20y.html"
    )
    assert given.headers["x-content-type-options"] == "nosniff"
    assert "x" not in given.headers


def test_a_file_is_given_back_only_while_it_is_what_was_indexed(house: Any, tmp_path: Path) -> None:
    file = tmp_path / "badge.txt"
    file.write_text("Visitors wear a badge.")
    house.loop.run(house.system.ingest([tmp_path], collection="files"))
    (found,) = house.http.get("/v1/documents", params={"collection": "files"}).json()["documents"]
    assert house.http.get(f"/v1/documents/{found['id']}/content").text == "Visitors wear a badge."
    file.write_text("root:x:0:0")
    reply = house.http.get(f"/v1/documents/{found['id']}/content")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_a_deleted_document_is_gone_everywhere_and_the_receipt_says_so(house: Any) -> None:
    (document_id,) = house.live("gone", secret__txt="The safe is behind the heron painting.")
    body = {"query": "Where is the safe?", "collection": "gone"}
    assert house.http.post("/v1/search", json=body).json()["passages"]
    receipt = house.http.delete(f"/v1/documents/{document_id}").json()
    assert receipt["complete"] and receipt["documents"][0]["original"]
    assert set(receipt["left"].values()) == {0}
    assert house.http.get(f"/v1/documents/{document_id}").status_code == 404
    assert house.http.delete(f"/v1/documents/{document_id}").status_code == 404
    assert house.http.post("/v1/search", json=body).status_code == 404, "the collection is empty now"
    home = house.system.settings.home
    assert not any(b"heron painting" in file.read_bytes() for file in home.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "other",
    [Principal("elsewhere", ("everyone",)), Principal("default", ("board",))],
    ids=["tenant", "group"],
)
@pytest.mark.parametrize("path", ["", "/chunks", "/content"])
def test_what_may_not_be_read_looks_like_what_is_not_there(house: Any, other: Principal, path: str) -> None:
    shelf = Shelf.of(other, "default", other.groups, READING, source="hidden")
    house.system.queue.enqueue([Listed("hidden://a", "0", 1)], shelf)
    hidden = shelf.document_id("hidden://a")
    for verb in ("GET", "DELETE") if not path else ("GET",):
        there, nothing = (house.http.request(verb, f"/v1/documents/{each}{path}") for each in (hidden, "x"))
        assert there.status_code == nothing.status_code == 404
        assert there.text.replace(hidden, "x") == nothing.text
    assert hidden not in house.http.get("/v1/documents").text
    assert house.system.catalog.document(hidden, other)


def test_nobody_replaces_a_document_that_he_may_not_read(house: Any) -> None:
    board = Principal("default", ("board",))
    shelf = Shelf.of(board, "shared", ("board",), READING, source="upload")
    house.system.queue.enqueue([Listed("upload://shared/board/plan.txt", "0", 1)], shelf)
    (mine,) = house.live("shared", plan__txt="Our own plan.")
    assert mine != shelf.document_id("upload://shared/board/plan.txt")
    assert house.system.catalog.document(mine, board) is None
    with pytest.raises(NotFound):
        house.loop.run(
            house.system.document(shelf.document_id("upload://shared/board/plan.txt"), house.system.principal)
        )


def test_a_document_belongs_to_who_sent_it(house: Any) -> None:
    system, loop = house.system, house.loop
    ada, ben = (Principal(user=name, rights=frozenset({Right.ASK, Right.WRITE})) for name in ("ada", "ben"))
    curator = replace(ben, rights=ben.rights | {Right.CURATE})

    async def send(sender: Principal) -> str:
        async with system.feeder.receiving() as files:
            await files.add("own.txt", whole(b"The plan of Ada."))
            return (await system.feeder.submit(files, sender, collection="owned")).documents[0]

    document_id = loop.run(send(ada))
    assert loop.run(send(ada)) == document_id
    with pytest.raises(Forbidden, match="not yours"):
        loop.run(send(ben))
    with pytest.raises(Forbidden, match="not yours"):
        loop.run(system.delete(document_id, ben))
    assert loop.run(send(curator)) == document_id
    assert loop.run(system.document(document_id, ben)).owner == "ada", "who corrects it does not take it away"
    assert loop.run(system.delete(document_id, ada)).complete


def test_a_job_whose_document_is_gone_before_its_turn_ends(house: Any) -> None:
    with house.resting():
        reply = house.upload("fleeting", plan__txt="A plan that is taken back at once.")
        assert house.http.delete(f"/v1/documents/{reply['documents'][0]['id']}").status_code == 200
    job = house.finish(reply["job"])
    assert (job["state"], job["progress"].get("documents", 0)) == ("done", 0)


async def whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


def test_a_page_is_shown_with_the_cited_words_marked(house: Any) -> None:
    page = PdfPage(200, 100)
    page.text(20, 50, "Hotels are paid up to 140 euros a night.", 9)
    (document_id,) = house.live("paged", travel__pdf=written([page]))
    (chunk,) = house.http.get(f"/v1/documents/{document_id}/chunks").json()["chunks"]
    (box,) = chunk["boxes"]
    edges = ",".join(str(box[name]) for name in ("left", "top", "right", "bottom"))
    plain = house.http.get(f"/v1/documents/{document_id}/pages/1.png")
    marked = house.http.get(f"/v1/documents/{document_id}/pages/1.png", params={"highlight": edges})
    assert (plain.status_code, plain.headers["content-type"]) == (200, "image/png")
    assert plain.content[:4] == marked.content[:4] == b"\x89PNG"
    assert plain.content != marked.content
    for path, status in (("pages/2.png", 404), ("pages/1.png?highlight=here", 400)):
        assert house.http.get(f"/v1/documents/{document_id}/{path}").status_code == status


def test_only_the_quoted_words_of_a_chunk_are_marked(house: Any) -> None:
    page = PdfPage(300, 100)
    page.text(20, 60, "Hotels are paid up to 140 euros.", 9)
    page.text(20, 48, "Taxis are not reimbursed at all.", 9)
    (document_id,) = house.live("quoted", travel__pdf=written([page]))
    (chunk,) = house.http.get(f"/v1/documents/{document_id}/chunks").json()["chunks"]
    start = chunk["text"].index("Taxis")
    place = f"/v1/documents/{document_id}/pages/1.png"
    reply = house.http.get(place, params={"chunk": chunk["id"], "start": start, "end": start + 5})
    assert (reply.status_code, reply.headers["content-location"]) == (200, place)
    left, top, right, bottom = (72 / 110 * edge for edge in yellow(reply.content))
    assert (left, right) == pytest.approx((20, 20 + text_width("Taxis", 9)), abs=3)
    assert top > 40, "the line above is not marked"
    whole = house.http.get(place, params={"chunk": chunk["id"]}).content
    assert yellow(whole)[1] < yellow(reply.content)[1], "without an end: the whole chunk"
    lines = house.http.get(
        f"/v1/documents/{document_id}/lines", params={"chunk": chunk["id"], "start": start}
    )
    (box,) = lines.json()["boxes"]
    assert (box["page"], box["left"]) == (1, pytest.approx(20, abs=1))
    assert box["top"] == pytest.approx(top, abs=3) and box["bottom"] == pytest.approx(bottom, abs=3)


def yellow(picture: bytes) -> tuple[int, int, int, int]:
    """The corners of what is marked, in pixels."""
    red, _, blue = Image.open(io.BytesIO(picture)).split()
    corners = ImageChops.subtract(red, blue).point(lambda value: 255 * (value > 100)).getbbox()
    assert corners
    return corners


def test_a_quote_on_the_next_page_of_its_chunk_is_shown_there(house: Any) -> None:
    first, second = PdfPage(300, 200), PdfPage(300, 200)
    first.text(20, 150, "Hotels are paid up to 140 euros.", 9)
    second.text(20, 150, "Taxis are not reimbursed at all.", 9)
    (document_id,) = house.live("turned", travel__pdf=written([first, second]))
    (chunk,) = house.http.get(f"/v1/documents/{document_id}/chunks").json()["chunks"]
    assert chunk["pages"] == [1, 2]
    words = {"chunk": chunk["id"], "start": chunk["text"].index("Taxis")}
    reply = house.http.get(f"/v1/documents/{document_id}/pages/1.png", params=words)
    assert reply.headers["content-location"] == f"/v1/documents/{document_id}/pages/2.png"
    assert yellow(reply.content)


def test_a_span_that_is_none_and_a_chunk_that_is_not_this_document_s(house: Any) -> None:
    page = PdfPage(200, 100)
    page.text(20, 50, "Hotels are paid.", 9)
    (own,) = house.live("spans", travel__pdf=written([page]))
    (other,) = house.live("spans", secret__txt="The plan of the board.")
    (mine,), (theirs,) = (
        house.http.get(f"/v1/documents/{each}/chunks").json()["chunks"] for each in (own, other)
    )
    for words, status, said in (
        ({"chunk": mine["id"], "start": 3, "end": 3}, 400, "no words from 3 to 3"),
        ({"chunk": mine["id"], "end": 17}, 400, "has 16 characters"),
        ({"chunk": theirs["id"]}, 404, theirs["id"]),
        ({"chunk": "gone"}, 404, "no chunk 'gone'"),
        ({"chunk": "x" * 101}, 400, "chunk"),
    ):
        for place in ("pages/1.png", "lines"):
            reply = house.http.get(f"/v1/documents/{own}/{place}", params=words)
            assert (reply.status_code, said in reply.text) == (status, True), reply.text


def test_the_words_of_a_chunk_are_marked_only_for_who_may_read_it(house: Any) -> None:
    (document_id,) = house.live("marked", badges__txt="Visitors wear a green badge.")
    system, loop = house.system, house.loop
    (chunk,) = house.http.get(f"/v1/documents/{document_id}/chunks").json()["chunks"]
    lines = house.http.get(f"/v1/documents/{document_id}/lines", params={"chunk": chunk["id"]})
    assert lines.json()["boxes"] == [], "a text has no pages"
    insider, outsider = (Principal(collections=(name,)) for name in ("marked", "other"))
    document = loop.run(system.document(document_id, insider))
    assert span(system.catalog, insider, document, chunk["id"], 0, 8).chunk.text[:8] == "Visitors"
    with pytest.raises(NotFound, match="no chunk"):
        span(system.catalog, outsider, document, chunk["id"], 0, 8)


def test_a_format_without_pages_says_so(house: Any) -> None:
    (document_id,) = house.live("unpaged", travel__txt="Hotels are paid.")
    reply = house.http.get(f"/v1/documents/{document_id}/pages/1.png")
    assert reply.status_code == 422
    assert "has no pages to draw" in reply.json()["error"]["message"]


def test_a_key_for_other_collections_sees_nothing_of_this_one(house: Any) -> None:
    (document_id,) = house.live("walled", badges__txt="Visitors of the walled garden wear a green badge.")
    system, loop = house.system, house.loop
    insider, outsider = (Principal(collections=(name,)) for name in ("walled", "other"))
    assert loop.run(system.retriever.search("green badge", insider))
    assert loop.run(system.retriever.search("green badge", outsider)) == []
    assert loop.run(system.retriever.search("green badge", outsider, collection="walled")) == []
    assert loop.run(system.collections(outsider)) == []
    with pytest.raises(NotFound):
        loop.run(system.document(document_id, outsider))
