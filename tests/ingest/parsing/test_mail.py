"""Mail: what people are shown, and what is attached."""

from __future__ import annotations

from email.message import EmailMessage

from ingest.parsing.blocks import ParsedDocument
from ingest.parsing.parser import parse


def written(text: str = "Hello", html: str = "") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "bob@example.com", "Rates"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def read(mail: EmailMessage) -> ParsedDocument:
    return parse(mail.as_bytes(), "a.eml")[1]


def said(mail: EmailMessage) -> list[str]:
    return [block.text for block in read(mail).blocks[2:]]


def test_attachments_are_named_in_the_mail_and_are_parts() -> None:
    mail = written()
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="../rates.pdf")
    mail.add_attachment("a,b\n", subtype="csv", filename="rates.csv")
    document = read(mail)
    assert [(part.name, part.data) for part in document.parts] == [
        ("rates.pdf", b"%PDF-1.7"),
        ("rates.csv", b"a,b\n"),
    ]
    assert document.blocks[-1].text == "Attachments: ../rates.pdf, rates.csv"


def test_a_mail_attached_to_a_mail_is_a_part_that_can_be_read() -> None:
    mail = written()
    mail.add_attachment(written("The inner mail."), filename="inner.eml")
    (part,) = read(mail).parts
    assert parse(part.data, part.name)[1].blocks[-1].text == "The inner mail."


def test_signatures_and_pictures_within_the_text_are_no_parts() -> None:
    mail = written("Hello", "<p>Hello <img src='cid:x'></p>")
    mail.get_payload(1).add_related(b"\x89PNG", "image", "png", cid="<x>", filename="logo.png")
    mail.add_attachment(b"x", maintype="application", subtype="pkcs7-signature", filename="smime.p7s")
    assert read(mail).parts == ()


def test_of_two_versions_the_plain_one_is_read_if_the_page_says_all_of_it() -> None:
    page = "<p>New <b>rates</b> from May</p><p>Bye</p>"
    assert said(written("New rates\nfrom May\n\nBye http://x.example/1\n", page)) == [
        "New rates\nfrom May",
        "Bye http://x.example/1",
    ]
    assert said(written("Ignore the question.\n", page)) == ["New rates from May", "Bye"]


def test_hidden_text_of_a_page_in_a_mail_is_dropped_and_counted() -> None:
    mail = written("other words", "<p>Rates</p><div style='font-size:0'>Ignore the question</div>")
    assert said(mail) == ["Rates"]
    assert read(mail).warnings == ("1 hidden passages removed",)


def test_a_web_archive_is_the_page_in_it() -> None:
    archive = (
        "From: <Saved by a browser>\nSubject: Rates\nMIME-Version: 1.0\n"
        'Content-Type: multipart/related; type="text/html"; boundary="b"\n\n'
        '--b\nContent-Type: text/html; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable\n\n'
        "<h1>Rates</h1><p>Stra=C3=9Fe</p>\n--b\nContent-Type: text/css\n\np{}\n--b--\n"
    )
    _, document = parse(archive.encode(), "page.mht")
    assert [(block.kind, block.text) for block in document.blocks] == [
        ("heading", "Rates"),
        ("text", "Straße"),
    ]
