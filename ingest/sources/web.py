"""A web site or its sitemap as a source: what changed since the last visit is sent, the rest is not."""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ingest.sources import pages
from ingest.sources.pages import canonical, origin
from ingest.sources.selection import Selection
from ingest.sources.site_memory import Page, recall, remember
from ingest.sources.source import Changes
from ingest.sources.visitor import Visit, Visitor
from rag.errors import LimitExceeded, NotFound, SourceError
from rag.store.queue import Listed, is_under

HTML = ("text/html", "application/xhtml+xml")
GONE = (401, 403, 404, 410, 451)
MAX_SITEMAPS = 1000


@dataclass(slots=True)
class Crawl:
    """One walk over the site, as it fills. `is_complete`: what is not among `seen` is not there.

    On `required` pages, the start and where it redirects to, the site hangs: without them we know nothing.
    """

    known: dict[str, Page]
    required: set[str]
    ahead: deque[tuple[str, int]] = field(default_factory=deque)
    queued: set[str] = field(default_factory=set)
    seen: dict[str, Page] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    is_complete: bool = True

    def add(self, url: str, depth: int) -> None:
        if url and url not in self.queued:
            self.queued.add(url)
            self.ahead.append((url, depth))


class WebSource:
    """The pages below `within` that can be reached from `start` in `max_depth` clicks, or that sitemaps name.

    `within` is where the start addresses are, if not given. Every page is visited unless excluded; those that
    the selection takes become documents.
    """

    def __init__(
        self,
        visitor: Visitor,
        *,
        name: str,
        folder: Path,
        start: Sequence[str] = (),
        sitemaps: Sequence[str] = (),
        within: Sequence[str] = (),
        selection: Selection | None = None,
        max_pages: int = 1000,
        max_depth: int = 3,
    ) -> None:
        self.name = name
        self._visitor, self._folder = visitor, folder
        self._start = tuple(canonical(url) for url in start)
        self._sitemaps = tuple(canonical(url) for url in sitemaps)
        self._within = tuple(canonical(url) for url in within) or scope(self._start + self._sitemaps)
        self._selection = selection or Selection()
        self._max_pages, self._max_depth = max_pages, max_depth

    def changes(self, cursor: str) -> Changes:
        """Visit the site. Pages that fail now stay as they were. Raises SourceError if the start fails."""
        crawl = Crawl(recall(cursor), required=set(self._start))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._visitor.forget_robots()
        for url in (*self._start, *self._from_sitemaps(crawl)):
            crawl.add(url, 0)
        visits = 0
        while crawl.ahead and visits < self._max_pages:
            url, depth = crawl.ahead.popleft()
            if self._is_wanted(url, crawl):
                visits += 1
                self._visit(crawl, url, depth)
        if crawl.ahead:
            crawl.problems.append(
                (crawl.ahead[0][0], f"not visited: {self._max_pages} pages were, which is max_pages")
            )
            crawl.is_complete = False
        items = tuple(self._listed(*each) for each in crawl.seen.items() if self._is_document(*each))
        return Changes(
            items,
            roots=self._within if crawl.is_complete else (),
            gone=tuple(crawl.gone),
            cursor=remember(crawl.seen),
            problems=tuple(crawl.problems),
        )

    def fetch(self, uri: str, into: Path) -> Path:
        """The page as `changes` found it, else as it is now. Raises NotFound, SourceError, LimitExceeded."""
        with suppress(FileNotFoundError):
            shutil.move(self._kept(uri), into)
            return into
        if not self._is_within(uri) or not self._visitor.allows(uri):
            raise NotFound(f"{uri} is not part of this source")
        visit = self._visitor.get(uri, into)
        if visit.status in GONE or 300 <= visit.status < 400:
            raise NotFound(f"{uri} answers {visit.status}")
        if not visit.digest:
            raise SourceError(f"{uri} answers {visit.status}")
        return into

    def close(self) -> None:
        """Close connections and forget pages that nobody fetched."""
        self._visitor.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_within(self, url: str) -> bool:
        return any(is_under(url, root) for root in self._within)

    def _is_wanted(self, url: str, crawl: Crawl) -> bool:
        is_ours = self._is_within(url) and not self._selection.leaves_out(pages.path_of(url))
        if not is_ours or self._visitor.allows(url):
            return is_ours
        if url in crawl.required:
            raise SourceError(f"robots.txt asks us to stay out of {url}")
        return False

    def _is_document(self, url: str, page: Page) -> bool:
        return bool(page.digest) and self._selection.takes(pages.path_of(url))

    def _listed(self, url: str, page: Page) -> Listed:
        return self._selection.listed(
            pages.path_of(url),
            uri=url,
            fingerprint=page.digest,
            size_bytes=page.size,
            name=pages.file_name(url, page.media_type),
        )

    def _kept(self, url: str) -> Path:
        return self._folder / hashlib.sha256(url.encode()).hexdigest()

    def _visit(self, crawl: Crawl, url: str, depth: int) -> None:
        """Look at one page and note where it points at."""
        known = crawl.known.get(url)
        try:
            visit = self._visitor.get(
                url,
                self._folder / "arriving",
                etag=known.etag if known else "",
                modified=known.modified if known else "",
            )
            page = self._page(url, visit, known)
        except LimitExceeded as error:
            crawl.problems.append((url, str(error)))
            return
        except SourceError as error:
            self._failed(crawl, url, depth, known, str(error))
            return
        if visit.status in GONE:
            if url in crawl.required:
                raise SourceError(f"{url} answers {visit.status}")
            crawl.gone.append(url)
            if visit.status not in (404, 410):
                crawl.problems.append((url, f"answers {visit.status}"))
        elif page is None:
            self._failed(crawl, url, depth, known, f"{url} answers {visit.status}")
        else:
            self._note(crawl, url, depth, page)

    def _page(self, url: str, visit: Visit, known: Page | None) -> Page | None:
        """What an answer says about the page; None: nothing."""
        if visit.status == httpx.codes.NOT_MODIFIED:
            return known
        if 300 <= visit.status < 400 and visit.location:
            return Page(links=tuple(filter(None, [canonical(visit.location, url)])))
        if not visit.digest:
            return None
        arrived = self._folder / "arriving"
        with arrived.open("rb") as file:
            found = pages.links(file.read(pages.MAX_PAGE_BYTES), url) if visit.media_type in HTML else ()
        if not known or known.digest != visit.digest:
            arrived.replace(self._kept(url))
        links = tuple(link for link in found if self._is_within(link))
        return Page(visit.digest, visit.etag, visit.modified, visit.size, visit.media_type, links)

    def _failed(self, crawl: Crawl, url: str, depth: int, known: Page | None, why: str) -> None:
        """A page that cannot be had now stays as it was; behind one that we never saw may be anything."""
        if url in crawl.required:
            raise SourceError(why)
        crawl.problems.append((url, why))
        if known:
            self._note(crawl, url, depth, known)
        else:
            crawl.is_complete = False

    def _note(self, crawl: Crawl, url: str, depth: int, page: Page) -> None:
        crawl.seen[url] = page
        is_redirect = not page.digest
        if is_redirect and url in crawl.required:
            if not any(map(self._is_within, page.links)):
                raise SourceError(
                    f"{url} leads to {', '.join(page.links)}: put that into start, or into within"
                )
            crawl.required.update(page.links)
        if depth < self._max_depth or is_redirect:
            for link in page.links:
                crawl.add(link, depth if is_redirect else depth + 1)

    def _from_sitemaps(self, crawl: Crawl) -> list[str]:
        """The pages that the sitemaps name. Raises SourceError when one of them cannot be read."""
        ahead, done, found = deque(self._sitemaps), 0, []
        file = self._folder / "sitemap"
        while ahead and done < MAX_SITEMAPS:
            url = ahead.popleft()
            done += 1
            visit = self._visitor.get(url, file)
            if not visit.digest:
                raise SourceError(f"the sitemap {url} answers {visit.status}")
            try:
                places, further = pages.sitemap(file.read_bytes())
            except ValueError as error:
                raise SourceError(f"the sitemap {url} cannot be read: {error}") from None
            found += places
            # By the protocol a sitemap speaks for its own site.
            ahead.extend(place for place in further if origin(place) == origin(url))
        if ahead:
            crawl.problems.append((ahead[0], f"not read: {MAX_SITEMAPS} sitemaps were"))
            crawl.is_complete = False
        file.unlink(missing_ok=True)
        return found


def scope(urls: Sequence[str]) -> tuple[str, ...]:
    """The sites that these addresses are on."""
    return tuple(dict.fromkeys(origin(url) for url in urls))
