"""The dialect of filters, and what they let through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.errors import BadRequest
from rag.retrieval.filters import Filter
from rag.types import Document, DocumentState

POLICY = Document(
    "id",
    "/hr/travel/policy-2023-06.PDF",
    "Travel policy 2023-06",
    "hr",
    "default",
    "",
    1,
    DocumentState.LIVE,
    media_type="application/pdf",
    labels=("policy", "Public"),
    language="en",
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "collection:hr",
        "collection:legal,hr label:public",
        'title:"travel policy*"',
        "uri:*/HR/*.pdf type:application/*",
        "language:EN date:2023",
        "date:2023-06",
        "date:2022..2023",
        "date:2023-06..",
        "date:..2023-06-30",
    ],
)
def test_a_document_that_agrees_with_every_field_is_admitted(text: str) -> None:
    assert Filter.parse(text).admits(POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "collection:legal",
        "label:secret",
        "collection:hr language:de",
        "title:policy",
        "uri:*.docx",
        "date:2024..",
        "date:2023-07..",
        "date:..2022",
    ],
)
def test_one_field_that_disagrees_shuts_it_out(text: str) -> None:
    assert not Filter.parse(text).admits(POLICY)


def test_without_a_date_in_its_title_a_document_is_in_no_range() -> None:
    assert not Filter.parse("date:2000..").admits(replace(POLICY, title="Travel policy"))


@pytest.mark.parametrize(
    "text", ["author:me", "hr", "label:", "date:soon", "date:..", "date:2023-13", 'title:"x']
)
def test_what_is_no_filter_is_refused_with_its_words(text: str) -> None:
    with pytest.raises(BadRequest, match=r"filter|date"):
        Filter.parse(text)


def test_an_empty_filter_is_none() -> None:
    assert not Filter.parse("  ")
    assert Filter.parse("label:a label:b").labels == ("a", "b")
