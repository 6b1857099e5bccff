"""A real Git repository, made here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.sources import clone
from ingest.sources.git import GitSource
from ingest.sources.selection import Rule, Selection
from rag.errors import LimitExceeded, NotFound, SourceError, Unsupported


class Repository:
    """A work tree to commit to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "change")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "work")
    repository.commit(readme="# Handbook", hr__pay="pay", hr__deep__x="x")
    return repository


@pytest.fixture
def opened(tmp_path: Path, repository: Repository) -> Callable[..., GitSource]:
    def opened(**options: Any) -> GitSource:
        options = {"url": str(repository.folder), "max_file_bytes": 1000} | options
        return GitSource(name="g", clone=tmp_path / "home/sources/g", **options)

    return opened


def test_files_of_the_newest_commit_are_listed_and_fetched(
    opened: Any, repository: Repository, tmp_path: Path
) -> None:
    changes = opened().changes("")
    root = f"git+{repository.folder}@HEAD"
    assert [item.uri for item in changes.items] == [f"{root}/{p}" for p in ("hr/deep/x", "hr/pay", "readme")]
    assert changes.roots == (root,) and len(changes.cursor) == 40
    assert opened().fetch(f"{root}/hr/pay", tmp_path / "into").read_text() == "pay"


def test_a_commit_changes_the_fingerprints_of_its_files_only(opened: Any, repository: Repository) -> None:
    first = opened().changes("")
    (repository.folder / "hr/deep/x").unlink()
    repository.commit(hr__pay="more pay", new="new")
    second = opened().changes(first.cursor)
    before, after = ({i.name: i.fingerprint for i in changes.items} for changes in (first, second))
    assert set(after) == {"pay", "readme", "new"} and second.cursor != first.cursor
    assert after["readme"] == before["readme"] and after["pay"] != before["pay"]


def test_a_branch_and_a_folder_are_a_source_of_their_own(opened: Any, repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "release/1.0")
    repository.commit(hr__pay="released")
    repository.git("checkout", "--quiet", "main")
    rules = Selection(rules=(Rule("deep/**", groups=("deep",)),))
    changes = opened(branch="release/1.0", folder="hr", selection=rules).changes("")
    assert changes.roots == (f"git+{repository.folder}@release/1.0/hr",)
    assert [(item.name, item.groups, item.size_bytes) for item in changes.items] == [
        ("x", ("deep",), 1),
        ("pay", None, 8),
    ]


def test_history_that_was_rewritten_is_followed(opened: Any, repository: Repository) -> None:
    opened().changes("")
    repository.git("commit", "--quiet", "--amend", "-m", "another root")
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    repository.commit(only="one")
    repository.git("branch", "-M", "fresh", "main")
    assert [item.name for item in opened(branch="main").changes("").items][-1] == "readme"


def test_a_fetch_that_was_killed_does_not_block_the_next(
    opened: Any, repository: Repository, tmp_path: Path
) -> None:
    opened().changes("")
    (tmp_path / "home/sources/g/shallow.lock").touch()
    repository.commit(new="new")
    assert "new" in [item.name for item in opened().changes("").items]


def test_a_clone_that_is_gone_is_made_anew_by_whoever_fetches(opened: Any, tmp_path: Path) -> None:
    item = opened().changes("").items[-1]
    subprocess.run(["rm", "-r", str(tmp_path / "home")], check=True)
    assert opened().fetch(item.uri, tmp_path / "into").read_text() == "# Handbook"


def test_links_submodules_and_odd_names_do_not_get_in(opened: Any, repository: Repository) -> None:
    (repository.folder / "link").symlink_to("/etc/passwd")
    (repository.folder / os.fsdecode(b"caf\xe9")).write_text("x")
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository.folder, text=True).strip()
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    repository.commit(**{"two words": "x", "-dash": "y"})
    changes = opened().changes("")
    assert [item.name for item in changes.items] == ["-dash", "x", "pay", "readme", "two words"]
    assert [reason for _, reason in changes.problems] == ["its name is not UTF-8: rename it"]


def test_what_cannot_be_had_has_its_error(opened: Any, repository: Repository, tmp_path: Path) -> None:
    repository.commit(large="x" * 1001, pointer="version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    source, root = opened(), f"git+{repository.folder}@HEAD"
    source.changes("")
    with pytest.raises(LimitExceeded, match="1001 bytes"):
        source.fetch(f"{root}/large", tmp_path / "into")
    with pytest.raises(Unsupported, match="Git LFS"):
        source.fetch(f"{root}/pointer", tmp_path / "into")
    for gone in (f"{root}/nothing", f"{root}/../../etc/passwd", "git+elsewhere@HEAD/readme"):
        with pytest.raises(NotFound):
            source.fetch(gone, tmp_path / "into")
    with pytest.raises(SourceError, match="no-such-branch"):
        opened(branch="no-such-branch").changes("")


def test_a_repository_that_is_out_of_reach_keeps_the_clone(opened: Any, repository: Repository) -> None:
    source = opened()
    item = source.changes("").items[-1]
    repository.folder.rename(repository.folder.with_name("moved"))
    with pytest.raises(SourceError, match="does not appear to be a git repository|not exist"):
        source.changes("")
    assert source.fetch(item.uri, repository.folder.with_name("into")).read_text() == "# Handbook"


def test_hooks_and_configuration_of_the_user_are_not_run(
    opened: Any, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    hook = tmp_path / "hooks/reference-transaction"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {hook.parent}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    opened().changes("")
    assert not trap.exists()
    # The trap does work: git itself, left to that configuration, runs it.
    subprocess.run(["git", "clone", "-q", str(repository.folder), str(tmp_path / "copy")], check=True)
    assert trap.exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% trap", "git://h/r", "fd::1", "-oProxyCommand=x", "../r", "h:r"]
)
def test_addresses_that_could_run_programs_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no https, http or ssh address"):
        clone.protocol(url)


def test_another_protocol_than_that_of_the_address_is_closed(opened: Any, repository: Repository) -> None:
    # A repository may point its readers at another place; git must not follow over another protocol.
    far = clone.Clone(Path("unused"), url="https://h/r")
    with pytest.raises(SourceError, match="transport 'file' not allowed"):
        far.git("ls-remote", str(repository.folder), folder=repository.folder / ".git")


def test_a_token_is_not_on_the_command_line_and_goes_to_its_server_only() -> None:
    told = clone.environment("https://git.example/r.git", "git", "s3cret")
    keys = {value: told[key.replace("KEY", "VALUE")] for key, value in told.items() if "_KEY_" in key}
    assert keys["http.https://git.example/.extraHeader"] == "Authorization: Basic Z2l0OnMzY3JldA=="
    assert keys["protocol.allow"] == "never" and keys["protocol.https.allow"] == "always"
    assert clone.without_password("https://u:p@h:8443/r") == "https://h:8443/r"
