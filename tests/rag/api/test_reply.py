from __future__ import annotations

import json

import httpx

from rag.api.reply import data


def test_an_event_is_one_line_to_clients_that_split_where_unicode_ends_one() -> None:
    said = {"text": "one\u2028two\u2029three\u0085four\x0bfive\nsix", "emoji": "\U0001f600"}
    (line, empty) = httpx.Response(200, text=data(said)).iter_lines()
    assert empty == "" and json.loads(line.removeprefix("data: ")) == said
