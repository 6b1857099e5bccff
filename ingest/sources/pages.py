"""What web pages and sitemaps point at: links in their canonical form."""

from __future__ import annotations

import mimetypes
import zlib
from pathlib import Path
from urllib.parse import unquote

import httpx
from lxml import etree

MAX_URL = 2048
# Of a longer page, links are taken from its beginning.
MAX_PAGE_BYTES = 8_000_000
# The limit of the sitemap protocol, unpacked.
MAX_SITEMAP_BYTES = 50 * 1024 * 1024


def canonical(href: str, base: str = "") -> str:
    """An http address without fragment, in one spelling; empty for anything else."""
    try:
        url = httpx.URL(base).join(href.strip()) if base else httpx.URL(href.strip())
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or (url.port or 0) > 65535:
            return ""
        spelt = str(url.copy_with(fragment=None, path=url.path or "/"))
    except (httpx.InvalidURL, ValueError, TypeError):
        return ""
    return spelt if len(spelt) <= MAX_URL else ""


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def path_of(url: str) -> str:
    """The path of an address as patterns see it: without the first slash, readable."""
    return unquote(httpx.URL(url).path).lstrip("/")


def file_name(url: str, media_type: str) -> str:
    """A file name for the document at an address; its ending follows the media type if the path has none."""
    name = path_of(url).rstrip("/").rpartition("/")[2] or "index"
    return name if Path(name).suffix else name + (mimetypes.guess_extension(media_type) or "")


def links(html: bytes, url: str) -> tuple[str, ...]:
    """Where a page points at, each address once, in the order of the page."""
    parser = etree.HTMLParser(no_network=True, huge_tree=False, recover=True)
    try:
        tree = etree.fromstring(html[:MAX_PAGE_BYTES], parser)
    except (etree.XMLSyntaxError, ValueError):
        return ()
    if tree is None:
        return ()
    base = url
    found: dict[str, None] = {}
    for element in tree.iter("base", "a", "area"):
        href = str(element.get("href") or "")
        if element.tag == "base":
            base = canonical(href, url) or url
        elif href and "nofollow" not in str(element.get("rel") or "").lower().split():
            found.setdefault(canonical(href, base))
    return tuple(each for each in found if each)


def sitemap(data: bytes) -> tuple[list[str], list[str]]:
    """The pages and the further sitemaps that a sitemap (plain or gzip) names. Raises ValueError."""
    if data.startswith(b"\x1f\x8b"):
        data = unpacked(data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"no XML: {error}") from None
    kind = etree.QName(root).localname
    if kind not in ("urlset", "sitemapindex"):
        raise ValueError(f"its root is {kind}, not urlset or sitemapindex")
    places = [
        canonical(child.text or "")
        for entry in root.iterchildren("{*}url", "{*}sitemap")
        for child in entry.iterchildren("{*}loc")
    ]
    places = [place for place in places if place]
    return (places, []) if kind == "urlset" else ([], places)


def unpacked(data: bytes) -> bytes:
    """The content of a gzip file, up to the limit. Raises ValueError."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        content = unpack.decompress(data, MAX_SITEMAP_BYTES)
    except zlib.error as error:
        raise ValueError(f"damaged gzip: {error}") from None
    if unpack.unconsumed_tail:
        raise ValueError(f"more than {MAX_SITEMAP_BYTES} bytes unpacked")
    return content
