from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/web/app.js", "text/javascript"),
        ("/web/style.css", "text/css"),
        ("/web/icon.svg", "image/svg"),
    ],
)
def test_the_page_and_its_files_are_served_with_their_type(service: Any, path: str, kind: str) -> None:
    reply = service.http.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("name", ["__init__.py", "..%2f..%2fsettings.py", "index.html", "%2e%2e%2fcli.py"])
def test_nothing_else_is_served_as_a_file(service: Any, name: str) -> None:
    assert service.http.get(f"/web/{name}").status_code == 404


def test_the_page_asks_no_other_host_and_turns_no_text_into_markup() -> None:
    for name in ("index.html", "app.js", "style.css"):
        source = files("rag.web").joinpath(name).read_text()
        assert not re.search(r"https?://|//[a-z]+\.", source), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source), name
        assert not re.search(r"<script(?! src=)|<style| on[a-z]+=", source), name
