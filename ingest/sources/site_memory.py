"""What a visit to a web site leaves behind for the next one: its pages, as the JSON of a cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was last seen. A redirect is a page without a body (`digest` empty) and one link."""

    digest: str = ""
    etag: str = ""
    modified: str = ""
    size: int = 0
    media_type: str = ""
    links: tuple[str, ...] = ()


def remember(pages: Mapping[str, Page]) -> str:
    """Pages by address as JSON. Every address is written once: sites repeat their menu on each page."""
    number: dict[str, int] = {}
    for url, page in pages.items():
        for each in (url, *page.links):
            number.setdefault(each, len(number))
    rows = [
        [
            number[url],
            page.digest,
            page.etag,
            page.modified,
            page.size,
            page.media_type,
            [number[link] for link in page.links],
        ]
        for url, page in pages.items()
    ]
    return json.dumps({"urls": list(number), "pages": rows}, ensure_ascii=False, separators=(",", ":"))


def recall(cursor: str) -> dict[str, Page]:
    """The pages of a cursor; none of one that we cannot read: then every page is sent again."""
    try:
        memory = json.loads(cursor)
        urls = memory["urls"]
        return {
            urls[at]: Page(digest, etag, modified, size, media_type, tuple(urls[link] for link in links))
            for at, digest, etag, modified, size, media_type, links in memory["pages"]
        }
    except (ValueError, TypeError, KeyError, IndexError):
        return {}
