from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.model


def test_a_collection_is_there_with_its_first_readable_document(house: Any) -> None:
    house.live("shelves", one__md="# One\n\nA first text of the shelves.", two__md="# Two\n\nA second text.")
    listed = {each["id"]: each for each in house.http.get("/v1/collections").json()["data"]}
    assert listed["shelves"] == house.http.get("/v1/collections/shelves").json()
    assert (listed["shelves"]["documents"], listed["shelves"]["live"]) == (2, 2)
    assert listed["shelves"]["chunks"] == 2
    assert house.http.get("/v1/collections/nothing").status_code == 404
