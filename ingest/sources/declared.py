"""What a [[source]] of ingest.toml may say: one model for each type, which opens the source itself."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ingest.schedule import Schedule
from ingest.sources import clone, pages
from ingest.sources.folder import FolderSource, Links
from ingest.sources.git import GitSource
from ingest.sources.imap import Account, ImapSource
from ingest.sources.selection import Rule, Selection, expression
from ingest.sources.source import Source
from ingest.sources.sql import SqlSource
from ingest.sources.visitor import Visitor
from ingest.sources.web import WebSource, scope
from rag.errors import SettingsError


def a_pattern(value: str) -> str:
    expression(value)
    return value


def a_page(value: str) -> str:
    if not (found := pages.canonical(value)):
        raise ValueError("an address begins with http:// or https:// and has no user name")
    return found


def a_repository(value: str) -> str:
    clone.protocol(value)
    if clone.without_password(value) != value:
        raise ValueError("a password does not belong into a file: use token_env")
    return value


def a_branch(value: str) -> str:
    if value.startswith("-") or any(
        each in value for each in (" ", "..", ":", "~", "^", "?", "*", "[", "\\")
    ):
        raise ValueError("no name of a branch")
    return value


Pattern = Annotated[str, Field(min_length=1), AfterValidator(a_pattern)]
Name = Annotated[str, Field(min_length=1)]
PageUrl = Annotated[str, AfterValidator(a_page)]


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Permissions(Entry):
    """[[source.rule]]: who may read what matches."""

    match: Pattern
    groups: list[Name] | None = None
    labels: list[Name] = []
    owner: str = ""


class Declared(Entry):
    """What all [[source]] entries share. `open` gives the source itself."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    collection: Name = "default"
    groups: list[Name] | None = None
    labels: list[Name] = []
    schedule: str = ""
    timezone: str = "UTC"
    include: list[Pattern] = []
    exclude: list[Pattern] = []
    rule: list[Permissions] = []

    @model_validator(mode="after")
    def _has_a_schedule_that_can_be_read(self) -> Self:
        try:
            self.cron()
        except (SettingsError, LookupError, OSError) as error:
            raise ValueError(str(error)) from None
        return self

    def cron(self) -> Schedule | None:
        """When to read it; None: when asked."""
        return Schedule.parse(self.schedule, ZoneInfo(self.timezone)) if self.schedule else None

    def selection(self) -> Selection:
        """What is taken, and the permissions by place."""
        rules = tuple(
            Rule(
                each.match,
                None if each.groups is None else tuple(each.groups),
                tuple(each.labels),
                each.owner,
            )
            for each in self.rule
        )
        groups = None if self.groups is None else tuple(self.groups)
        return Selection(tuple(self.include), tuple(self.exclude), groups, tuple(self.labels), rules)

    @abstractmethod
    def open(self, home: Path, max_file_bytes: int) -> Source:
        """The source, ready to be asked. Raises SettingsError for a variable or package that is missing."""


class Folder(Declared):
    """Files and folders; relative paths begin at the folder of ingest.toml."""

    type: Literal["folder"]
    paths: Annotated[list[str], Field(min_length=1)]
    posix_permissions: bool = False
    links: Literal["inside", "all"] = "inside"

    def open(self, home: Path, max_file_bytes: int) -> FolderSource:
        return FolderSource(
            [Path(path) for path in self.paths],
            home=home,
            max_file_bytes=max_file_bytes,
            name=self.name,
            selection=self.selection(),
            posix_permissions=self.posix_permissions,
            links=Links(self.links),
        )


class Web(Declared):
    """A site by its links, its sitemaps, or both. `headers_env`: per header the variable with its value."""

    type: Literal["web"]
    start: list[PageUrl] = []
    sitemap: list[PageUrl] = []
    within: list[PageUrl] = []
    max_pages: Annotated[int, Field(ge=1)] = 1000
    max_depth: Annotated[int, Field(ge=0)] | None = None
    delay_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    allow_private: list[Name] = []
    headers_env: dict[str, str] = {}

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        if not self.start and not self.sitemap:
            raise ValueError("a web source needs start or sitemap")
        return self

    def open(self, home: Path, max_file_bytes: int) -> WebSource:
        within = self.within or scope([*self.start, *self.sitemap])
        visitor = Visitor(
            trusted=scope(within),
            max_bytes=max_file_bytes,
            allow_private=self.allow_private,
            secrets={header: secret(self, variable) for header, variable in self.headers_env.items()},
            delay_s=self.delay_s,
            timeout_s=self.timeout_s,
        )
        # A sitemap is a list of what its owner wants to be found; behind start, links are the list.
        depth = self.max_depth if self.max_depth is not None else 3 if self.start else 0
        return WebSource(
            visitor,
            name=self.name,
            folder=home / "sources" / self.name,
            start=self.start,
            sitemaps=self.sitemap,
            within=within,
            selection=self.selection(),
            max_pages=self.max_pages,
            max_depth=depth,
        )


class S3(Declared):
    """A bucket, or one folder of it. Without keys boto3 looks for them where it always does."""

    type: Literal["s3"]
    bucket: Name
    folder: str = ""
    endpoint_url: str = ""
    region: str = ""
    access_key_env: str = ""
    secret_key_env: str = ""
    groups_tag: str = ""
    labels_tag: str = ""

    def open(self, home: Path, max_file_bytes: int) -> Source:
        try:
            from ingest.sources.s3 import S3Source
        except ImportError:
            raise SettingsError(f"source {self.name} needs boto3: pip install 'permafrost-rag[s3]'") from None
        return S3Source(
            name=self.name,
            bucket=self.bucket,
            folder=self.folder,
            endpoint_url=self.endpoint_url,
            region=self.region,
            access_key=secret(self, self.access_key_env),
            secret_key=secret(self, self.secret_key_env),
            max_file_bytes=max_file_bytes,
            selection=self.selection(),
            groups_tag=self.groups_tag,
            labels_tag=self.labels_tag,
        )


class Imap(Declared):
    """Folders of a mailbox, over TLS."""

    type: Literal["imap"]
    host: Name
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    security: Literal["tls", "starttls"] = "tls"
    user: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]
    password_env: Name
    folders: Annotated[list[Pattern], Field(min_length=1)] = ["INBOX"]

    def open(self, home: Path, max_file_bytes: int) -> ImapSource:
        account = Account(self.host, self.user, secret(self, self.password_env), self.port, self.security)
        return ImapSource(
            account,
            name=self.name,
            folders=self.folders,
            max_file_bytes=max_file_bytes,
            selection=self.selection(),
        )


class Git(Declared):
    """A branch of a repository (empty: its default one), or one folder of it."""

    type: Literal["git"]
    url: Annotated[str, AfterValidator(a_repository)]
    branch: Annotated[str, AfterValidator(a_branch)] = ""
    folder: str = ""
    user: str = "git"
    token_env: str = ""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0

    @model_validator(mode="after")
    def _keeps_its_token_secret(self) -> Self:
        if self.token_env and not self.url.startswith("https://"):
            raise ValueError("token_env is for https addresses only")
        return self

    def open(self, home: Path, max_file_bytes: int) -> GitSource:
        return GitSource(
            name=self.name,
            url=self.url,
            clone=home / "sources" / self.name,
            branch=self.branch,
            folder=self.folder,
            user=self.user,
            token=secret(self, self.token_env),
            max_file_bytes=max_file_bytes,
            selection=self.selection(),
            timeout_s=self.timeout_s,
        )


class Sql(Declared):
    """The rows of a query. An address of a database that holds a password comes from a variable."""

    type: Literal["sql"]
    url: str = ""
    url_env: str = ""
    query: Name

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("an sql source needs either url or url_env")
        return self

    def open(self, home: Path, max_file_bytes: int) -> SqlSource:
        return SqlSource(
            name=self.name,
            url=self.url or secret(self, self.url_env),
            query=self.query,
            max_file_bytes=max_file_bytes,
            selection=self.selection(),
        )


KINDS: dict[str, type[Declared]] = {
    "folder": Folder,
    "web": Web,
    "s3": S3,
    "imap": Imap,
    "git": Git,
    "sql": Sql,
}


def secret(declared: Declared, variable: str) -> str:
    """The value of an environment variable; empty if none is named. Raises SettingsError if it is not set."""
    if not variable:
        return ""
    if not (value := os.environ.get(variable)):
        raise SettingsError(f"source {declared.name}: the environment variable {variable} is not set")
    return value
