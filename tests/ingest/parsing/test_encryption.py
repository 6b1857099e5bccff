"""Office files with a password: opened with the right one, named as locked without."""

from __future__ import annotations

import io

import docx
import pytest
from msoffcrypto.format.ooxml import OOXMLFile

from ingest.parsing.detection import Format
from ingest.parsing.parser import parse
from rag.errors import NeedsPassword


def locked(password: str) -> bytes:
    document = docx.Document()
    document.add_paragraph("The per diem is 34 euros.")
    plain, encrypted = io.BytesIO(), io.BytesIO()
    document.save(plain)
    plain.seek(0)
    OOXMLFile(plain).encrypt(password, encrypted)
    return encrypted.getvalue()


def test_the_right_one_of_several_passwords_opens_a_document() -> None:
    kind, document = parse(locked("sesame"), "a.docx", passwords=("wrong", "sesame"))
    assert kind is Format.DOCX
    assert [block.text for block in document.blocks] == ["The per diem is 34 euros."]


def test_without_it_the_document_says_where_to_put_one() -> None:
    with pytest.raises(NeedsPassword, match="put its password into ingest.passwords"):
        parse(locked("sesame"), "a.docx")
    with pytest.raises(NeedsPassword, match="none of the 2 passwords"):
        parse(locked("sesame"), "a.docx", passwords=("wrong", "also wrong"))


def test_what_excel_opens_without_asking_is_opened() -> None:
    assert parse(locked("VelvetSweatshop"), "a.xlsx")[1].blocks
