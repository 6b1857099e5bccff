"""ingest.toml: what may stand in it, and what is said about what may not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ingest.declaration import Declared, load
from ingest.sources.folder import FolderSource
from ingest.sources.git import GitSource
from ingest.sources.imap import ImapSource
from ingest.sources.s3 import S3Source
from ingest.sources.sql import SqlSource
from ingest.sources.web import WebSource
from rag.errors import SettingsError

WHOLE = """
[[source]]
name = "handbook"
type = "folder"
paths = ["docs", "~/more"]
collection = "handbook"
groups = ["everyone"]
labels = ["internal"]
schedule = "*/15 * * * *"
timezone = "Europe/Berlin"
exclude = ["*.tmp"]
posix_permissions = true
[[source.rule]]
match = "hr/**"
groups = ["hr"]

[[source]]
name = "wiki"
type = "web"
start = ["https://wiki.example.com/docs/"]
sitemap = ["https://wiki.example.com/sitemap.xml"]
within = ["https://wiki.example.com/docs/"]
max_pages = 50
delay_s = 1
allow_private = ["wiki.example.com", "10.0.0.0/8"]
headers_env = { authorization = "WIKI_HEADER" }

[[source]]
name = "bucket"
type = "s3"
bucket = "docs"
folder = "hr/"
endpoint_url = "http://127.0.0.1:9000"
region = "eu-central-1"
access_key_env = "S3_KEY"
secret_key_env = "S3_SECRET"
groups_tag = "groups"

[[source]]
name = "mail"
type = "imap"
host = "imap.example.com"
user = "ann@example.com"
password_env = "MAIL_PASSWORD"
folders = ["INBOX", "Projects/**"]

[[source]]
name = "code"
type = "git"
url = "https://git.example.com/team/docs.git"
branch = "main"
folder = "docs"
token_env = "GIT_TOKEN"

[[source]]
name = "tickets"
type = "sql"
url_env = "TICKETS_URL"
query = "SELECT id, body AS text FROM ticket"
"""
SECRETS = ("WIKI_HEADER", "S3_KEY", "S3_SECRET", "MAIL_PASSWORD", "GIT_TOKEN")


def declared(tmp_path: Path, text: str) -> tuple[Declared, ...]:
    file = tmp_path / "ingest.toml"
    file.write_text(text)
    return load(file)


def test_every_type_of_source_can_be_declared_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("TICKETS_URL", f"sqlite:///{tmp_path}/tickets.db")
    kinds = []
    for each in declared(tmp_path, WHOLE):
        source = each.open(tmp_path / "home", 1000)
        kinds.append(type(source))
        assert source.name == each.name
        source.close()
    assert kinds == [FolderSource, WebSource, S3Source, ImapSource, GitSource, SqlSource]


def test_paths_begin_where_the_file_is_and_rules_reach_the_documents(tmp_path: Path) -> None:
    (tmp_path / "docs/hr").mkdir(parents=True)
    (tmp_path / "docs/hr/pay.txt").write_text("x")
    (tmp_path / "docs/a.txt").write_text("x")
    (tmp_path / "docs/a.tmp").write_text("x")
    text = WHOLE.partition('[[source]]\nname = "wiki"')[0].replace(', "~/more"', "").replace("true", "false")
    (handbook,) = declared(tmp_path, text)
    listed = handbook.open(tmp_path / "home", 1000).changes("").items
    assert [(item.uri, item.groups, item.labels) for item in listed] == [
        (f"{tmp_path}/docs/a.txt", ("everyone",), ("internal",)),
        (f"{tmp_path}/docs/hr/pay.txt", ("hr",), ("internal",)),
    ]
    cron = handbook.cron()
    assert handbook.collection == "handbook" and cron is not None and str(cron.zone) == "Europe/Berlin"


def test_an_sql_source_reads_its_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.db") as database:
        database.execute("CREATE TABLE ticket AS SELECT 7 AS id, 'broken' AS body")
    database.close()
    text = f"""[[source]]\nname = "t"\ntype = "sql"\nurl = "sqlite:///{tmp_path}/t.db"
    query = "SELECT id, body AS text FROM ticket"\n"""
    source = declared(tmp_path, text)[0].open(tmp_path, 1000)
    assert [item.uri for item in source.changes("").items] == ["sql:t/7"]
    source.close()


BASE = '[[source]]\nname = "a"\ntype = "folder"\npaths = ["docs"]\n'
GIT = '[[source]]\nname = "a"\ntype = "git"\n'
WEB = '[[source]]\nname = "a"\ntype = "web"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "declares no source; write one as [[source]]"),
        ("x = ", "is not TOML"),
        ('[source]\nname = "a"', "declares no source"),
        ("[[sources]]\n", "'sources' is not known; a file has [[source]] entries and [parsers] only"),
        ('[[source]]\nname = "a"\n', "source a: type is None; there are folder, web, s3, imap, git, sql"),
        ('[[source]]\ntype = "ftp"\n', "source number 1: type is 'ftp'; there are folder, web"),
        (BASE + "path = 1\n", "source a: there is no key path; there are collection, exclude, groups"),
        (
            BASE + '[[source.rule]]\nmatch = "x"\ngroup = []\n',
            "there is no key rule.0.group; there are match",
        ),
        (BASE + "[[source.rule]]\n", "rule.0.match is missing"),
        (BASE + '[[source.rule]]\nmatch = "a["\n', "rule.0.match is 'a[': "),
        (BASE + 'groups = "hr"\n', "groups is 'hr': Input should be a valid list"),
        (BASE + 'schedule = "* * *"\n', "schedule '* * *' needs minute hour day"),
        (BASE + 'schedule = "@daily"\ntimezone = "Mars/Base"\n', "Mars/Base"),
        (BASE.replace('"a"', '"A b"'), "name is 'A b': String should match pattern"),
        (BASE + BASE, "two sources are called 'a'; names must differ"),
        (BASE.replace('["docs"]', "[]"), "paths is []: "),
        (WEB, "a web source needs start or sitemap"),
        (WEB + 'start = ["ftp://x"]\n', "start.0 is 'ftp://x': an address begins with http"),
        (GIT + 'url = "ext::sh -c x"\n', "url is 'ext::sh -c x': "),
        (GIT + 'url = "https://u:s3cret@h/r"\n', "a password does not belong into a file: use token_env"),
        (GIT + 'url = "git@h:r"\ntoken_env = "T"\n', "token_env is for https addresses only"),
        (GIT + 'url = "/r"\nbranch = "--upload-pack=x"\n', "no name of a branch"),
        ('[[source]]\nname = "a"\ntype = "sql"\nquery = "x"\n', "either url or url_env"),
        ('[[source]]\nname = "a"\ntype = "imap"\nhost = "h"\nuser = "u"\npassword = "p"\n', "password"),
    ],
)
def test_what_is_wrong_is_said_with_key_value_and_way_out(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        declared(tmp_path, text)
    assert said in str(caught.value) and "ingest.toml" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "ingest.toml")


def test_a_secret_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIL_PASSWORD", raising=False)
    mail = next(each for each in declared(tmp_path, WHOLE) if each.name == "mail")
    with pytest.raises(SettingsError, match="source mail: the environment variable MAIL_PASSWORD is not set"):
        mail.open(tmp_path, 1000)


OVERLAPPING = """
[[source]]
name = "all"
type = "folder"
paths = ["docs"]
collection = "{first}"
exclude = {exclude}
[[source]]
name = "staff"
type = "folder"
paths = ["docs/hr/staff"]
collection = "kept"
groups = ["hr"]
"""


@pytest.mark.parametrize("exclude", [[], ["*.tmp"], ["staff.md"]])
def test_folders_that_two_sources_would_list_are_refused(tmp_path: Path, exclude: list[str]) -> None:
    path = tmp_path / "ingest.toml"
    path.write_text(OVERLAPPING.format(first="kept", exclude=exclude))
    with pytest.raises(SettingsError, match=r"sources all and staff both list .*docs/hr/staff.*exclude"):
        load(path)


@pytest.mark.parametrize("first, exclude", [("other", []), ("kept", ["hr/"]), ("kept", ["hr/staff/**"])])
def test_folders_that_are_told_apart_may_lie_in_each_other(
    tmp_path: Path, first: str, exclude: list[str]
) -> None:
    path = tmp_path / "ingest.toml"
    path.write_text(OVERLAPPING.format(first=first, exclude=exclude))
    assert [each.name for each in load(path)] == ["all", "staff"]


def test_the_same_folder_twice_is_refused_unless_patterns_may_tell(tmp_path: Path) -> None:
    path = tmp_path / "ingest.toml"
    entry = '[[source]]\nname = "{}"\ntype = "folder"\npaths = ["docs"]\n{}\n'
    path.write_text(entry.format("one", "") + entry.format("two", ""))
    with pytest.raises(SettingsError, match="sources one and two both list"):
        load(path)
    path.write_text(entry.format("one", 'include = ["*.md"]') + entry.format("two", 'exclude = ["*.md"]'))
    assert len(load(path)) == 2
