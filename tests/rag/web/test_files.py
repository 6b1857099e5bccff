"""The files of the page hold nothing that the shield's content policy would have to stop."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from rag.api.pages import FILES

PAGE = files("rag.web")
NAMES = sorted(each.name for each in PAGE.iterdir() if each.name.endswith((".html", ".js", ".css", ".svg")))


def test_every_file_of_the_page_is_served_and_used() -> None:
    used = set(re.findall(r'(?:src|href)="/web/([^"]+)"', PAGE.joinpath("index.html").read_text()))
    assert used == set(FILES) == set(NAMES) - {"index.html"}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".svg")])
def test_a_file_asks_no_other_host_and_turns_no_text_into_markup(name: str) -> None:
    source = PAGE.joinpath(name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.", source)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", source
    )
    assert not re.search(r"<script(?! src=)|<style| on[a-z]+=\"| style=", source)
