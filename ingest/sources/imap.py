"""A mailbox as a source: each message is a document. It is read only, and nothing becomes "seen"."""

from __future__ import annotations

import imaplib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote, unquote

from ingest.sources.mailbox_names import decoded, encoded
from ingest.sources.selection import Selection, expression
from ingest.sources.source import Changes
from rag.errors import LimitExceeded, NotFound, SourceError
from rag.store.queue import Listed

T = TypeVar("T")

TIMEOUT_S = 60.0
MESSAGES_AT_ONCE = 2000
PIECE_BYTES = 1 << 20
# Taken only when asked for by their full name.
SPECIAL = {b"\\trash", b"\\junk", b"\\drafts"}
NOT_SELECTABLE = {b"\\noselect", b"\\nonexistent"}
FOLDER = re.compile(rb'\(([^)]*)\) (?:"\\?(.)"|NIL) (.*)', re.DOTALL)
MESSAGE = re.compile(r"imap://[^/]+/([^/]+)/;UIDVALIDITY=(\d+);UID=(\d+)")


@dataclass(frozen=True, slots=True)
class Account:
    """How to get in. `security`: TLS from the start, or after a plain greeting."""

    host: str
    user: str
    password: str
    port: int = 0
    security: Literal["tls", "starttls"] = "tls"

    def connect(self) -> imaplib.IMAP4:
        """A connection that is logged in. Raises imaplib.IMAP4.error, OSError."""
        context = ssl.create_default_context()
        if self.security == "tls":
            mail: imaplib.IMAP4 = imaplib.IMAP4_SSL(
                self.host, self.port or 993, ssl_context=context, timeout=TIMEOUT_S
            )
        else:
            mail = imaplib.IMAP4(self.host, self.port or 143, timeout=TIMEOUT_S)
        try:
            if self.security == "starttls":
                mail.starttls(context)
            mail.login(quoted(self.user), self.password)
        except (imaplib.IMAP4.error, OSError):
            with suppress(OSError):
                mail.shutdown()
            raise
        return mail


class ImapSource:
    """The messages of some folders, named by patterns with / between levels.

    A message is known by folder, UIDVALIDITY and UID, under which its bytes never change (RFC 9051, 2.3.1.1).
    The cursor holds the folders, so that one that vanishes takes its messages along.
    """

    def __init__(
        self,
        account: Account,
        *,
        name: str,
        folders: Sequence[str] = ("INBOX",),
        max_file_bytes: int,
        selection: Selection | None = None,
    ) -> None:
        self.name = name
        self._account, self._folders = account, tuple(folders)
        self._root = f"imap://{quote(account.user, safe='@').replace('@', '%40')}@{account.host}"
        self._max_file_bytes = max_file_bytes
        self._selection = selection or Selection()
        self._mail: imaplib.IMAP4 | None = None
        # A connection has one selected folder, so one thread at a time may use it.
        self._lock = threading.Lock()

    def changes(self, cursor: str = "") -> Changes:
        """All messages but those marked as deleted. Raises SourceError."""
        # The folder that an earlier connection has open may be gone, and then some servers answer nothing.
        self.close()
        return self._with_mail(lambda mail: self._changes(mail, remembered(cursor)))

    def fetch(self, uri: str, into: Path) -> Path:
        """Write a message. Raises NotFound, SourceError, LimitExceeded."""
        found = MESSAGE.fullmatch(uri)
        if found is None or not uri.startswith(f"{self._root}/"):
            raise NotFound(f"{uri} is not part of this source")
        folder, validity, uid = unquote(found[1]), found[2], found[3]
        return self._with_mail(lambda mail: self._fetch(mail, folder, validity, uid, into))

    def close(self) -> None:
        """Log out."""
        with self._lock:
            self._hang_up()

    def _changes(self, mail: imaplib.IMAP4, before: list[str]) -> Changes:
        folders = [each for each in self._all_folders(mail) if self._wants(*each)]
        if not folders:
            raise SourceError(f"{self._root} has no folder that matches {', '.join(self._folders)}")
        items: list[Listed] = []
        problems = []
        unknown = set()
        for name, delimiter, _ in folders:
            try:
                items += self._messages(mail, name, delimiter)
            except NotFound as error:
                unknown.add(name)
                problems.append((self._place(name), str(error)))
        names = sorted(name for name, _, _ in folders)
        roots = tuple(self._place(name) for name in sorted({*names, *before} - unknown))
        cursor = json.dumps(names, ensure_ascii=False)
        return Changes(tuple(items), roots, cursor=cursor, problems=tuple(problems))

    def _all_folders(self, mail: imaplib.IMAP4) -> Iterator[tuple[str, str, set[bytes]]]:
        """Name, delimiter and attributes of every folder."""
        for line in answered(mail.list()):
            # A name with odd characters comes as a literal, apart from its line.
            whole = line if isinstance(line, bytes) else line[0].rpartition(b"{")[0] + line[1]
            if found := FOLDER.fullmatch(whole):
                name = found[3].strip()
                if name.startswith(b'"') and name.endswith(b'"'):
                    name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
                yield decoded(name), (found[2] or b"").decode(), set(found[1].lower().split())

    def _wants(self, name: str, delimiter: str, attributes: set[bytes]) -> bool:
        if attributes & NOT_SELECTABLE:
            return False
        path = name.replace(delimiter, "/") if delimiter else name
        path = "INBOX" if path.upper() == "INBOX" else path
        is_named = path in self._folders
        return is_named or (
            not attributes & SPECIAL and any(expression(each).fullmatch(path) for each in self._folders)
        )

    def _messages(self, mail: imaplib.IMAP4, folder: str, delimiter: str) -> Iterator[Listed]:
        count, validity = self._examine(mail, folder)
        path = folder.replace(delimiter, "/") if delimiter else folder
        # Numbers cannot shift in between: a server tells of removed messages only when asked other things.
        for first in range(1, count + 1, MESSAGES_AT_ONCE):
            last = min(count, first + MESSAGES_AT_ONCE - 1)
            for line in answered(mail.fetch(f"{first}:{last}", "(UID RFC822.SIZE FLAGS)")):
                about = line if isinstance(line, bytes) else line[0]
                uid, size = re.search(rb"\bUID (\d+)", about), re.search(rb"RFC822\.SIZE (\d+)", about)
                if uid is None or size is None or b"\\deleted" in about.lower():
                    continue
                name = f"{uid[1].decode()}.eml"
                if self._selection.takes(f"{path}/{name}"):
                    yield self._selection.listed(
                        f"{path}/{name}",
                        uri=f"{self._place(folder)}/;UIDVALIDITY={validity};UID={uid[1].decode()}",
                        fingerprint=f"{validity}-{uid[1].decode()}",
                        size_bytes=int(size[1]),
                    )

    def _fetch(self, mail: imaplib.IMAP4, folder: str, validity: str, uid: str, into: Path) -> Path:
        if self._examine(mail, folder)[1] != validity:
            raise NotFound(f"folder {folder} was made anew; the next listing shows its messages")
        about = b"".join(
            each for each in answered(mail.uid("FETCH", uid, "(RFC822.SIZE)")) if isinstance(each, bytes)
        )
        size = re.search(rb"RFC822\.SIZE (\d+)", about)
        if size is None:
            raise NotFound(f"no message {uid} in {folder}")
        if int(size[1]) > self._max_file_bytes:
            raise LimitExceeded(f"{int(size[1])} bytes; ingest.max_file_bytes allows {self._max_file_bytes}")
        with into.open("wb") as file:
            while piece := self._piece(mail, uid, file.tell()):
                file.write(piece)
                if len(piece) < PIECE_BYTES:
                    break
        return into

    def _piece(self, mail: imaplib.IMAP4, uid: str, start: int) -> bytes:
        """Some bytes of a message, without marking it as seen."""
        answer = answered(mail.uid("FETCH", uid, f"(BODY.PEEK[]<{start}.{PIECE_BYTES}>)"))
        return next((each[1] for each in answer if isinstance(each, tuple)), b"")

    def _examine(self, mail: imaplib.IMAP4, folder: str) -> tuple[int, str]:
        """Open a folder read-only; returns how many messages it has, and its UIDVALIDITY. Raises NotFound."""
        kind, data = mail.select(quoted(encoded(folder)), readonly=True)
        if kind != "OK":
            raise NotFound(f"folder {folder} cannot be opened: {str(data[0])}")
        validity = mail.response("UIDVALIDITY")[1][0]
        if not isinstance(validity, bytes):
            raise SourceError(f"the server gives no UIDVALIDITY for {folder}, so messages have no identity")
        return int(data[0] or 0), validity.decode()

    def _place(self, folder: str) -> str:
        return f"{self._root}/{quote(folder, safe='')}"

    def _with_mail(self, work: Callable[[imaplib.IMAP4], T]) -> T:
        """Do something over the connection; a connection that turns out to be dead is made anew, once."""
        with self._lock, translated(self._root):
            if self._mail is not None:
                try:
                    self._mail.noop()
                except (imaplib.IMAP4.error, OSError):
                    self._hang_up()
            if self._mail is None:
                self._mail = self._account.connect()
            try:
                return work(self._mail)
            except (imaplib.IMAP4.abort, OSError):
                self._hang_up()
                raise

    def _hang_up(self) -> None:
        mail, self._mail = self._mail, None
        if mail is not None:
            try:
                mail.logout()
            except (imaplib.IMAP4.error, OSError):
                with suppress(OSError):
                    mail.shutdown()


def answered(answer: tuple[str, Sequence[object]]) -> list[bytes | tuple[bytes, bytes]]:
    """The lines of an answer. Raises SourceError for a refusal."""
    kind, data = answer
    if kind != "OK":
        raise SourceError(f"the mail server refuses: {data[0]!r}")
    return [each for each in data if isinstance(each, bytes | tuple)]


def quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def remembered(cursor: str) -> list[str]:
    with suppress(ValueError):
        if isinstance(names := json.loads(cursor), list):
            return [str(name) for name in names]
    return []


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of imaplib as ours."""
    try:
        yield
    except (imaplib.IMAP4.error, OSError) as error:
        raise SourceError(f"{what}: {error}") from None
