"""A mailbox on a real IMAP server (pymap), with its mail in memory."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.imap import Account, ImapSource
from ingest.sources.mailbox_names import decoded, encoded
from ingest.sources.selection import Rule, Selection
from rag.errors import LimitExceeded, NotFound, SourceError
from tests.ingest.sources.conftest import serving

MAIL = "From: a@example.com\r\nSubject: {subject}\r\n\r\n{body}\r\n"
USER = "ann@example.com"
# Its million rounds of hashing take a second per login; the protocol is what we are here for.
QUICK_LOGIN = """
from pysasl import hashing
hashing.BuiltinHash.__init__.__kwdefaults__["rounds"] = 1000
from pymap.main import main
main()
"""


@dataclass
class Server:
    """Where a mail server listens, and how a mail program of its user speaks to it."""

    port: int

    def session(self, *commands: str | bytes) -> list[bytes]:
        """Log in, say this, and return the lines of the answers."""
        answers = []
        with socket.create_connection(("localhost", self.port)) as plain:
            plain.makefile("rb").readline()
            plain.sendall(b"s STARTTLS\r\n")
            plain.recv(4096)
            context = ssl.create_default_context()
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                reader = stream.makefile("rb")
                for number, command in enumerate((f'LOGIN "{USER}" "pass word"', *commands)):
                    text = command.encode() if isinstance(command, str) else command
                    stream.sendall(f"t{number} ".encode() + text + b"\r\n")
                    while not (line := reader.readline()).startswith(f"t{number} ".encode()):
                        assert line, "the server hung up"
                        answers.append(line)
                    assert b" OK" in line, line
                reader.close()
        return answers

    def put(self, folder: str, *subjects: str, body: str = "text") -> None:
        mails = [MAIL.format(subject=subject, body=body).encode() for subject in subjects]
        self.session(*(f'APPEND "{encoded(folder)}" {{{len(mail)}+}}\r\n'.encode() + mail for mail in mails))


@pytest.fixture
def server(trusted: tuple[Path, Path]) -> Iterator[Server]:
    command = [sys.executable, "-c", QUICK_LOGIN, "--host", "127.0.0.1"]
    options = ["--cert", str(trusted[0]), "--key", str(trusted[1])]
    backend = ["dict", "--demo-data", "--demo-user", USER, "--demo-password", "pass word"]
    with serving(lambda port: [*command, "--port", str(port), *options, *backend]) as port:
        yield Server(port)


@pytest.fixture
def opened(server: Server) -> Iterator[Callable[..., ImapSource]]:
    sources = []

    def opened(**options: Any) -> ImapSource:
        account = {"host": "localhost", "user": USER, "password": "pass word", "port": server.port}
        account |= {"security": "starttls"} | options.pop("account", {})
        options = {"folders": ["Projects/**"], "max_file_bytes": 5_000_000} | options
        source = ImapSource(Account(**account), name="mail", **options)
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.close()


ROOT = "imap://ann%40example.com@localhost"


def test_messages_are_listed_and_fetched_and_stay_unseen(opened: Any, server: Server, tmp_path: Path) -> None:
    server.session("CREATE Projects", "CREATE Projects/Bau&APw-", "CREATE Other")
    server.put("Projects", "one", "two")
    server.put("Projects/Bauü", "three")
    server.put("Other", "four")
    rules = Selection(rules=(Rule("Projects/Bauü/**", groups=("builders",)),))
    changes = opened(folders=["Projects", "Projects/**"], selection=rules).changes("")
    assert [(item.name, item.groups) for item in changes.items] == [
        ("101.eml", None),
        ("102.eml", None),
        ("101.eml", ("builders",)),
    ]
    assert changes.roots == (f"{ROOT}/Projects", f"{ROOT}/Projects%2FBau%C3%BC")
    item = changes.items[1]
    mail = opened().fetch(item.uri, tmp_path / "into").read_bytes()
    assert mail == MAIL.format(subject="two", body="text").encode() and len(mail) == item.size_bytes
    seen = server.session("EXAMINE Projects", "FETCH 1:* (FLAGS)")
    assert not any(b"Seen" in line for line in seen if b"FETCH" in line)


def test_what_is_deleted_or_new_shows_and_the_rest_stays(opened: Any, server: Server) -> None:
    server.session("CREATE Projects")
    server.put("Projects", "one", "two", "three")
    source = opened(folders=["Projects"])
    first = source.changes("")
    server.session("SELECT Projects", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "STORE 1 +FLAGS (\\Deleted)")
    server.put("Projects", "four")
    second = source.changes(first.cursor)
    assert second.items[:1] == first.items[2:] and len(second.items) == 2
    assert second.roots == first.roots


def test_a_folder_that_vanished_takes_its_messages_along(opened: Any, server: Server) -> None:
    server.session("CREATE Projects", "CREATE Projects/Old")
    source = opened(folders=["Projects", "Projects/*"])
    first = source.changes("")
    server.session("DELETE Projects/Old")
    assert f"{ROOT}/Projects%2FOld" in source.changes(first.cursor).roots


def test_a_folder_made_anew_has_other_messages(opened: Any, server: Server, tmp_path: Path) -> None:
    server.session("CREATE Projects")
    server.put("Projects", "one")
    before = opened(folders=["Projects"]).changes("").items[0]
    server.session("DELETE Projects", "CREATE Projects")
    server.put("Projects", "two")
    after = opened(folders=["Projects"]).changes("").items[0]
    assert before.uri != after.uri and before.fingerprint != after.fingerprint
    with pytest.raises(NotFound, match="made anew"):
        opened().fetch(before.uri, tmp_path / "into")


def test_a_large_message_comes_in_pieces_and_has_a_limit(opened: Any, server: Server, tmp_path: Path) -> None:
    server.session("CREATE Projects")
    body = "".join(f"line {number}\r\n" for number in range(200_000))
    server.put("Projects", "large", body=body)
    item = opened(folders=["Projects"]).changes("").items[0]
    assert item.size_bytes > 2 * (1 << 20)
    mail = opened().fetch(item.uri, tmp_path / "into").read_bytes()
    assert mail == MAIL.format(subject="large", body=body).encode()
    with pytest.raises(LimitExceeded):
        opened(max_file_bytes=1000).fetch(item.uri, tmp_path / "into")


def test_what_is_not_there_has_its_error(opened: Any, server: Server, tmp_path: Path) -> None:
    server.session("CREATE Projects")
    server.put("Projects", "one")
    uri = opened(folders=["Projects"]).changes("").items[0].uri
    for gone in (uri + "9", uri.replace("Projects", "Nothing"), uri.replace("ann", "bob"), "x"):
        with pytest.raises(NotFound):
            opened().fetch(gone, tmp_path / "into")
    with pytest.raises(SourceError, match="no folder that matches Nothing"):
        opened(folders=["Nothing"]).changes("")
    with pytest.raises(SourceError, match="imap://"):
        opened(account={"password": "wrong"}).changes("")
    with pytest.raises(SourceError, match="imap://"):
        opened(account={"port": 1}).changes("")


def test_a_connection_that_died_is_made_anew(opened: Any, server: Server, tmp_path: Path) -> None:
    source = opened(folders=["INBOX"])
    uri = source.changes("").items[0].uri
    source._mail.sock.shutdown(socket.SHUT_RDWR)
    assert source.fetch(uri, tmp_path / "into").stat().st_size > 0


def test_a_certificate_that_nobody_trusts_is_refused(
    opened: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(folders=["INBOX"])
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceError, match="certificate"):
        source.changes("")


def test_tls_from_the_start_is_spoken_as_well(
    opened: Any, server: Server, trusted: tuple[Path, Path]
) -> None:
    with tunnel(server.port, trusted) as port:
        secure = opened(folders=["INBOX"], account={"security": "tls", "port": port})
        assert secure.changes("") == opened(folders=["INBOX"]).changes("")
        secure.close()


@contextmanager
def tunnel(target: int, certificate: tuple[Path, Path]) -> Iterator[int]:
    """A TLS port in front of a server that begins in the clear; for one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        outside, _ = listener.accept()
        with (
            context.wrap_socket(outside, server_side=True) as near,
            socket.create_connection(("127.0.0.1", target)) as far,
        ):
            back = threading.Thread(target=copy, args=(far, near))
            back.start()
            copy(near, far)
            back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listener.getsockname()[1])
    thread.join(10)
    listener.close()


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", "INBOX"),
        ("Entwürfe", "Entw&APw-rfe"),
        ("R&D", "R&-D"),
        ("台北", "&U,BTFw-"),
        ("a\r\nb", "a&AA0ACg-b"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ],
)
def test_folder_names_are_spelt_as_the_protocol_asks(name: str, wire: str) -> None:
    assert encoded(name) == wire and decoded(wire.encode()) == name


def test_a_folder_name_that_is_not_valid_stays_as_it_is() -> None:
    assert decoded(b"&A-x") == "&A-x"
