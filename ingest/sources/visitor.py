"""A polite visitor of web sites: bounded GETs, at the pace and within the limits of robots.txt."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from ingest.sources import robots
from ingest.sources.egress import GuardedTransport
from ingest.sources.pages import origin
from ingest.sources.robots import Robots
from rag.errors import LimitExceeded, SourceError

AGENT = "Permafrost"
MAX_ROBOTS_HOPS = 5
MAX_RETRY_AFTER_S = 60.0
BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a server answered. `digest` and `size` are of the body, when there was one to keep."""

    status: int
    media_type: str = ""
    etag: str = ""
    modified: str = ""
    location: str = ""
    digest: str = ""
    size: int = 0
    retry_after_s: float = 0.0


class Visitor:
    """Fetches pages. `secrets` are headers sent to `trusted` origins only."""

    def __init__(
        self,
        *,
        trusted: Sequence[str],
        max_bytes: int,
        allow_private: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
        delay_s: float = 0.5,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._trusted, self._secrets = frozenset(trusted), dict(secrets or {})
        self._max_bytes, self._delay_s, self._timeout_s = max_bytes, delay_s, timeout_s
        self._sleep = sleep
        self._client = httpx.Client(
            transport=transport or GuardedTransport(allow_private),
            # Other encodings could unpack to any size within one step.
            headers={"user-agent": AGENT, "accept-encoding": "gzip"},
            timeout=httpx.Timeout(timeout_s / 2, connect=min(10.0, timeout_s)),
            follow_redirects=False,
            trust_env=False,
        )
        self._robots: dict[str, Robots] = {}
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def allows(self, url: str) -> bool:
        """Whether robots.txt lets us. Raises SourceError when it cannot be had: then nothing is allowed."""
        home = origin(url)
        if home not in self._robots:
            self._robots[home] = self._read_robots(home)
        return self._robots[home].allows(httpx.URL(url).raw_path.decode("ascii"))

    def forget_robots(self) -> None:
        """Ask for robots.txt anew at the next visit."""
        self._robots.clear()

    def get(self, url: str, into: Path, *, etag: str = "", modified: str = "") -> Visit:
        """Get one address, not following redirects; a body of a good answer is written to `into`.

        Raises SourceError when there is no answer, LimitExceeded for a body beyond the limit.
        """
        headers = {"if-none-match": etag} if etag else {"if-modified-since": modified} if modified else {}
        visit = self._get(url, headers, into)
        if visit.status in BUSY and 0 < visit.retry_after_s <= MAX_RETRY_AFTER_S:
            self._sleep(visit.retry_after_s)
            visit = self._get(url, headers, into)
        return visit

    def close(self) -> None:
        self._client.close()

    def _get(self, url: str, headers: dict[str, str], into: Path) -> Visit:
        self._wait_for_turn(origin(url))
        if origin(url) in self._trusted:
            headers = headers | self._secrets
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                digest, size = self._keep(response, into) if response.is_success else ("", 0)
                return Visit(
                    response.status_code,
                    response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                    response.headers.get("etag", ""),
                    response.headers.get("last-modified", ""),
                    response.headers.get("location", ""),
                    digest,
                    size,
                    retry_after(response.headers.get("retry-after", ""), time.time()),
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceError(f"{url}: {error or type(error).__name__}") from None

    def _keep(self, response: httpx.Response, into: Path) -> tuple[str, int]:
        """Write the body; returns its digest and size."""
        digest, size = hashlib.sha256(), 0
        with into.open("wb") as file:
            for piece in self._pieces(response):
                size += len(piece)
                if size > self._max_bytes:
                    raise LimitExceeded(
                        f"{response.url} has more than the {self._max_bytes} bytes of ingest.max_file_bytes"
                    )
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest(), size

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body as it arrives. Raises SourceError when it takes too long or is packed in an odd way."""
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", ""):
            raise SourceError(f"{response.url} answers in {encoding}, which we did not ask for")
        deadline = time.monotonic() + self._timeout_s
        for piece in response.iter_bytes():
            yield piece
            # A server that drips keeps within the timeout of each read, but not within this one.
            if time.monotonic() > deadline:
                raise SourceError(f"{response.url} took longer than {self._timeout_s:g} s")

    def _wait_for_turn(self, home: str) -> None:
        """Keep the pause between two visits to one site."""
        known = self._robots.get(home)
        pause = max(self._delay_s, known.delay_s if known else 0.0)
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next.get(home, 0.0))
            self._next[home] = turn + pause
        if turn > now:
            self._sleep(turn - now)

    def _read_robots(self, home: str) -> Robots:
        url = httpx.URL(home).join("/robots.txt")
        for _ in range(MAX_ROBOTS_HOPS + 1):
            try:
                self._wait_for_turn(origin(str(url)))
                headers = self._secrets if origin(str(url)) in self._trusted else {}
                with self._client.stream("GET", url, headers=headers) as response:
                    if response.is_redirect and "location" in response.headers:
                        url = url.join(response.headers["location"])
                        continue
                    if response.is_success:
                        return robots.parse(self._beginning(response, robots.MAX_BYTES), AGENT)
                    if response.is_server_error or response.status_code == 429:
                        raise SourceError(
                            f"{url} answers {response.status_code}; until it can be read, we stay out"
                        )
                    return Robots()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise SourceError(f"{url}: {error or type(error).__name__}") from None
        return Robots()

    def _beginning(self, response: httpx.Response, limit: int) -> str:
        """The first bytes of a body as text."""
        content = bytearray()
        for piece in self._pieces(response):
            content += piece
            if len(content) >= limit:
                break
        return content[:limit].decode("utf-8", "replace")


def retry_after(value: str, now: float) -> float:
    """Seconds to wait, as a server asks in either form; 0: it does not."""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0
