"""Folders: what is listed, what a fingerprint notices, and whose a file is."""

from __future__ import annotations

import errno
import grp
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.sources import folder as folder_module
from ingest.sources.folder import LEADS_NOWHERE, LEADS_OUT, NO_FILE, FolderSource, Links
from ingest.sources.selection import Rule, Selection
from rag.errors import Forbidden, LimitExceeded, NotFound, SourceError

LONG_AGO = 1_600_000_000
NOBODY = 65534


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name in ("a.md", "hr/pay.txt", "hr/deep/er/x.csv", ".git/config", ".hidden", "~$lock.docx"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return root


@pytest.fixture
def source(docs: Path, tmp_path: Path) -> Callable[..., FolderSource]:
    def source(*paths: Path, **options: Any) -> FolderSource:
        options = {"home": tmp_path / "home", "max_file_bytes": 1000} | options
        return FolderSource(paths or (docs,), **options)

    return source


def names(source: FolderSource, root: Path) -> list[str]:
    return [Path(item.uri).relative_to(root).as_posix() for item in source.changes().items]


def fingerprints(source: FolderSource) -> dict[str, str]:
    return {item.uri: item.fingerprint for item in source.changes().items}


def test_everything_but_hidden_files_and_locks_is_listed(source: Any, docs: Path) -> None:
    changes = source().changes()
    assert names(source(), docs) == ["a.md", "hr/pay.txt", "hr/deep/er/x.csv"]
    assert changes.roots == (docs.as_posix(),) and not changes.gone and not changes.problems
    assert [(item.name, item.size_bytes) for item in changes.items][1] == ("pay.txt", 10)


def test_our_own_home_is_not_a_document(source: Any, docs: Path) -> None:
    (docs / "kb").mkdir()
    (docs / "kb/rag.db").write_text("x")
    assert "kb/rag.db" not in names(source(home=docs / "kb"), docs)


def test_links_are_followed_and_each_folder_once(source: Any, docs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/linked.txt").write_text("x")
    (docs / "link").symlink_to(tmp_path / "elsewhere")
    (docs / "loop").symlink_to(docs)
    (docs / "self").symlink_to(docs / "self")
    (docs / "broken").symlink_to(docs / "nothing")
    expected = ["a.md", "hr/pay.txt", "hr/deep/er/x.csv", "link/linked.txt"]
    assert names(source(links=Links.ALL), docs) == expected


def test_a_link_that_leads_out_of_the_folder_is_named_and_not_followed(
    source: Any, docs: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "docs of others").mkdir()
    (docs / "out.txt").symlink_to(tmp_path / "secret.txt")
    (docs / "others").symlink_to(tmp_path / "docs of others")
    (docs / "in.txt").symlink_to(docs / "hr/pay.txt")
    (docs / "hr/back").symlink_to(docs / "hr/deep")
    made = source()
    changes = made.changes()
    assert {name.rpartition("/")[2] for name, _ in changes.problems} == {"out.txt", "others"}
    assert all('set links = "all"' in reason for _, reason in changes.problems)
    assert (docs / "in.txt").as_posix() in {item.uri for item in changes.items}
    with pytest.raises(Forbidden, match="leads out of the folder"):
        made.fetch((docs / "out.txt").as_posix(), tmp_path / "into")
    (tmp_path / "named").symlink_to(docs)
    assert names(source(tmp_path / "named"), tmp_path / "named"), "what is named itself may be a link"
    assert source().changes().roots == (docs.as_posix(),)


def test_a_name_that_is_not_utf8_is_a_problem_and_not_a_crash(source: Any, docs: Path) -> None:
    (docs / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    changes = source().changes()
    assert len(changes.items) == 3
    assert [reason for _, reason in changes.problems] == ["its name is not UTF-8: rename it"]
    assert changes.problems[0][0].endswith("caf\\udce9.txt")


def test_an_unchanged_file_keeps_its_fingerprint_once_it_is_old(source: Any, docs: Path) -> None:
    later = time.time_ns() + 10_000_000_000
    first, second = (source(clock_ns=lambda at=at: at).changes().items for at in (later, later + 10**9))
    assert [item.fingerprint for item in first] == [item.fingerprint for item in second]


def test_a_file_of_this_very_moment_is_looked_at_again_next_time(source: Any, docs: Path) -> None:
    one = source().changes().items[0].fingerprint
    assert one != source().changes().items[0].fingerprint


def test_a_change_that_keeps_size_and_time_is_noticed(source: Any, docs: Path) -> None:
    file, later = docs / "a.md", lambda: time.time_ns() + 10_000_000_000
    os.utime(file, (LONG_AGO, LONG_AGO))
    before = source(clock_ns=later).changes().items[0].fingerprint
    time.sleep(0.02)
    file.write_text("b.md")
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert source(clock_ns=later).changes().items[0].fingerprint != before


def test_patterns_decide_what_is_taken_and_who_may_read_it(source: Any, docs: Path) -> None:
    selection = Selection(exclude=("hr/deep/",), groups=("everyone",), rules=(Rule("hr/**", groups=("hr",)),))
    listed = source(selection=selection).changes().items
    assert [(item.name, item.groups) for item in listed] == [("a.md", ("everyone",)), ("pay.txt", ("hr",))]


def test_posix_permissions_are_those_of_the_file_and_the_folders_above(source: Any, docs: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    (docs / "a.md").chmod(0o644)
    (docs / "hr").chmod(0o750)
    (docs / "hr/pay.txt").chmod(0o600)
    (docs / "hr/deep/er/x.csv").chmod(0o644)
    listed = source(posix_permissions=True, selection=Selection(groups=("everyone",))).changes().items
    assert [item.groups for item in listed] == [("everyone",), (), (group,)]
    assert all(item.owner for item in listed)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_two_groups_in_a_row_leave_nobody(source: Any, docs: Path) -> None:
    (docs / "hr").chmod(0o750)
    os.chown(docs / "hr/pay.txt", -1, 4242)
    (docs / "hr/pay.txt").chmod(0o640)
    listed = {item.name: item for item in source(posix_permissions=True).changes().items}
    assert listed["pay.txt"].groups == ()


def test_a_disk_that_fails_does_not_make_documents_disappear(
    source: Any, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a broken disk answers like this, so the system call is replaced.
    real = os.scandir

    def failing(path: str) -> Any:
        if str(path).endswith("/deep"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(folder_module.os, "scandir", failing)
    changes = source().changes()
    assert changes.roots == ()
    assert changes.problems == ((f"{docs}/hr/deep", "Input/output error"),)


def test_what_is_no_file_is_named_unless_it_was_excluded(source: Any, docs: Path) -> None:
    """Nothing that lies in a folder is passed over in silence; a pipe that was opened would never end."""
    os.mkfifo(docs / "pipe.txt")
    (docs / "nowhere.txt").symlink_to("not there")
    (docs / "out.txt").symlink_to("/etc/passwd")
    (docs / "away").symlink_to("/etc")
    names = {Path(uri).name: reason for uri, reason in source().changes().problems}
    assert names == {
        "pipe.txt": NO_FILE,
        "nowhere.txt": LEADS_NOWHERE,
        "out.txt": LEADS_OUT,
        "away": LEADS_OUT,
    }
    some = Selection(exclude=("pipe.txt", "nowhere.txt", "out.txt", "away/"))
    assert source(selection=some).changes().problems == ()
    with pytest.raises(NotFound, match="pipe.txt is no file but a pipe"):
        source(docs / "pipe.txt").changes()


def test_a_path_that_is_not_there_is_an_error(source: Any, docs: Path) -> None:
    with pytest.raises(NotFound, match=r"no file or folder .*nothing$"):
        source(docs / "nothing").changes()
    with pytest.raises(NotFound, match="no file or folder .*: File name too long"):
        source(docs / ("n" * 300)).changes()


def test_fetch_gives_the_file_itself_within_the_limits(source: Any, docs: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    assert source().fetch(f"{docs}/a.md", into) == docs / "a.md" and not into.exists()
    with pytest.raises(LimitExceeded, match="max_file_bytes"):
        source(max_file_bytes=3).fetch(f"{docs}/a.md", into)
    with pytest.raises(NotFound):
        source().fetch(f"{docs}/gone.md", into)
    (tmp_path / "secret").write_text("x")
    with pytest.raises(NotFound):
        source().fetch(f"{tmp_path}/secret", into)


@contextmanager
def nobody(path: Path) -> Iterator[None]:
    """As somebody who is not root and may get as far as the folder that holds this path."""
    if os.geteuid():
        yield
        return
    opened = [each for each in path.parents if not each.stat().st_mode & stat.S_IXOTH]
    modes = [each.stat().st_mode for each in opened]
    for each, mode in zip(opened, modes, strict=True):
        each.chmod(mode | stat.S_IXOTH | stat.S_IROTH)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        for each, mode in zip(opened, modes, strict=True):
            each.chmod(mode)


def test_a_file_that_may_not_be_read_is_refused_until_its_rights_change(
    source: Any, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "RACY_NS", 0)
    file = docs / "hr/pay.txt"
    before = fingerprints(source())[file.as_posix()]
    file.chmod(0)
    with nobody(file), pytest.raises(Forbidden, match="it may not be read by this user"):
        source().fetch(file.as_posix(), tmp_path / "into")
    assert fingerprints(source())[file.as_posix()] != before, "so that the next run tries it"
    file.chmod(0o644)
    mode = file.parent.stat().st_mode
    file.parent.chmod(0o700 if os.geteuid() == 0 else 0)
    try:
        with nobody(file.parent), pytest.raises(Forbidden, match="it may not be read by this user"):
            source().fetch(file.as_posix(), tmp_path / "into")
    finally:
        file.parent.chmod(mode)


def test_a_disk_that_fails_says_nothing_of_a_document(
    source: Any, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a broken disk answers like this, so the system call is replaced.
    made, real = source(), os.stat

    def broken(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("a.md"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, **options)

    monkeypatch.setattr(folder_module.os, "stat", broken)
    with pytest.raises(SourceError, match="cannot be looked at: Stale file handle"):
        made.fetch(f"{docs}/a.md", tmp_path / "into")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_root_that_may_not_be_read_is_an_error_and_not_an_empty_folder(source: Any, docs: Path) -> None:
    docs.chmod(0)
    try:
        with pytest.raises(SourceError, match="may not be read"):
            source().changes()
    finally:
        docs.chmod(0o755)


def test_watch_tells_of_a_burst_of_changes_once(source: Any, docs: Path) -> None:
    stop, told = threading.Event(), []

    def look() -> None:
        for _ in source().watch(stop=stop, interval_s=0.05, settle_s=0.6):
            told.append(time.monotonic())

    thread = threading.Thread(target=look)
    thread.start()
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(told) == 1, "the first look is over"
    for number in range(5):
        (docs / f"new{number}.txt").write_text("x")
        time.sleep(0.03)
    while len(told) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.0)
    stop.set()
    thread.join(60)
    assert len(told) == 2 and not thread.is_alive()


def test_ten_thousand_files_are_listed_within_a_second(source: Any, tmp_path: Path) -> None:
    top = tmp_path / "many"
    for number in range(100):
        inner = top / f"{number:03}"
        inner.mkdir(parents=True)
        for each in range(100):
            (inner / f"{each}.txt").touch()
    many = source(top)
    started = time.process_time()
    assert len(many.changes().items) == 10_000
    assert time.process_time() - started < 1.0
