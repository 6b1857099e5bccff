"""Archives and mailboxes: every member a part under a safe name, and no bomb goes off."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from ingest.parsing import archive
from ingest.parsing.archive import clean_name
from ingest.parsing.parser import parse
from rag.errors import Damaged, LimitExceeded, NoText


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as container:
        for name, data in members.items():
            container.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as container:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            container.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        container.addfile(link)
    return buffer.getvalue()


def parts(data: bytes, name: str) -> dict[str, bytes]:
    return {part.name: part.data for part in parse(data, name)[1].parts}


MEMBERS = {"a.txt": b"one", "folder/b.txt": b"two"}


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda m: gzip.compress(tarred(m)), lambda m: bz2.compress(tarred(m))]
)
def test_the_members_of_an_archive_are_parts(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    assert parts(pack(MEMBERS), "archive") == MEMBERS


def test_a_file_that_is_only_compressed_is_the_one_part() -> None:
    assert parts(gzip.compress(b"a,b\n1,2\n"), "table.csv.gz") == {"table.csv": b"a,b\n1,2\n"}


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Users\\ann\\a.txt", "Users/ann/a.txt"),
        ("..\\a.txt", "a.txt"),
        ("a\x00\n.txt", "a.txt"),
        ("..", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_the_name_of_a_part_stays_where_it_is_put(name: str, clean: str) -> None:
    assert clean_name(name) == clean


def test_members_of_one_name_are_numbered_and_what_nobody_wrote_is_left_out() -> None:
    members = {
        "a.txt": b"one",
        "../a.txt": b"two",
        "/a.txt": b"three",
        "__MACOSX/._a.txt": b"x",
        ".DS_Store": b"x",
    }
    assert parts(zipped(members), "a.zip") == {"a.txt": b"one", "a (2).txt": b"two", "a (3).txt": b"three"}


def test_a_directory_that_lies_about_sizes_does_not_help_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "check_zip", lambda data: None)
    with pytest.raises(LimitExceeded, match="compressed more than 200 times"):
        parse(zipped({"bomb.txt": b" " * 50_000_000}), "a.zip")
    with pytest.raises(LimitExceeded, match="compressed more than 200 times"):
        parse(gzip.compress(b" " * 50_000_000), "bomb.gz")


def test_all_members_together_have_an_allowance() -> None:
    allowance = archive.Allowance(left=5)
    assert allowance.read(io.BytesIO(b"one"), packed=3) == b"one"
    with pytest.raises(LimitExceeded, match="unpacks to more"):
        allowance.read(io.BytesIO(b"two"), packed=3)


def test_a_damaged_member_costs_only_itself() -> None:
    data = zipped({"a.txt": b"the first member of three", "b.txt": b"the second member of three"})
    start = data.index(b"a.txt") + 5
    broken = data[:start] + b"\xff\xff\xff" + data[start + 3 :]
    _, document = parse(broken, "a.zip")
    assert [part.name for part in document.parts] == ["b.txt"]
    assert document.warnings == ("1 members could not be read",)


def test_an_archive_without_a_member_says_so() -> None:
    with pytest.raises(NoText, match="empty"):
        parse(zipped({}), "a.zip")
    with pytest.raises(Damaged, match="compressed file"):
        parse(b"\x1f\x8b\x08 not gzip at all", "a.gz")


def test_the_mails_of_a_mailbox_are_parts_whose_names_outlive_new_mails() -> None:
    first = (
        b"From ann@example.com Sat Nov 21 07:00:00 2026\nFrom: ann@example.com\nSubject: Rates\n\nNew.\n"
        b">From now on.\n\n"
    )
    second = (
        b"From bob@example.com Sat Nov 21 08:00:00 2026\nFrom: bob@example.com\nSubject: a/b\n\nFrom here.\n"
    )
    both, later = parts(first + second, "box"), parts(second, "box.mbox")
    assert [name.partition(" (")[0] for name in both] == ["Rates", "a-b"]
    assert b"\nFrom now on." in both[next(iter(both))]
    assert list(later) == list(both)[1:]
