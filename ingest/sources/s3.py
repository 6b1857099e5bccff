"""A bucket of an S3-compatible store as a source, or one folder of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ingest.sources.selection import Selection, is_storable, shown
from ingest.sources.source import Changes
from rag.errors import LimitExceeded, NotFound, SourceError
from rag.store.queue import Listed

ABSENT = ("404", "NoSuchKey", "NotFound")
PIECE_BYTES = 1 << 20
TAG_READERS = 8


class S3Source:
    """The current objects below a folder. The ETag is the fingerprint; older versions are not looked at.

    `groups_tag`, `labels_tag`: names of object tags that hold groups and labels, apart by spaces. Reading
    them takes one request per object at every run, because a tag can change without its object.
    """

    def __init__(
        self,
        *,
        name: str,
        bucket: str,
        folder: str = "",
        endpoint_url: str = "",
        region: str = "",
        access_key: str = "",
        secret_key: str = "",
        max_file_bytes: int,
        selection: Selection | None = None,
        groups_tag: str = "",
        labels_tag: str = "",
    ) -> None:
        self.name = name
        self._bucket = bucket
        self._prefix = folder.strip("/") + "/" if folder.strip("/") else ""
        self._home = f"{endpoint_url.rstrip('/')}/{bucket}" if endpoint_url else f"s3://{bucket}"
        self._max_file_bytes = max_file_bytes
        self._selection = selection or Selection()
        self._groups_tag, self._labels_tag = groups_tag, labels_tag
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint_url or None,
            region_name=region or None,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            config=Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 3},
                max_pool_connections=TAG_READERS,
            ),
        )

    def changes(self, cursor: str = "") -> Changes:
        """All objects, page by page. Raises SourceError."""
        wanted: list[dict[str, Any]] = []
        problems = []
        with translated(f"bucket {self._bucket}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for entry in page.get("Contents", ()):
                    key = entry["Key"]
                    # A key that ends in a slash is how consoles show an empty folder.
                    if key.endswith("/") or not self._selection.takes(key.removeprefix(self._prefix)):
                        continue
                    if is_storable(key):
                        wanted.append(entry)
                    else:
                        problems.append((shown(key), "its key cannot be stored: rename it"))
            items = tuple(self._all_listed(wanted))
        root = f"{self._home}/{self._prefix}".rstrip("/")
        return Changes(items, (root,), problems=tuple(problems))

    def fetch(self, uri: str, into: Path) -> Path:
        """Write the object. Raises NotFound, SourceError, LimitExceeded."""
        key = uri.removeprefix(f"{self._home}/")
        if key == uri or not key.startswith(self._prefix):
            raise NotFound(f"{uri} is not part of this source")
        with translated(uri):
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            body = found["Body"]
            try:
                if (size := found["ContentLength"]) > self._max_file_bytes:
                    raise LimitExceeded(f"{size} bytes; ingest.max_file_bytes allows {self._max_file_bytes}")
                with into.open("wb") as file:
                    for piece in body.iter_chunks(PIECE_BYTES):
                        file.write(piece)
            finally:
                body.close()
        return into

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _all_listed(self, entries: list[dict[str, Any]]) -> Iterator[Listed]:
        if not (self._groups_tag or self._labels_tag):
            yield from (self._listed(entry, {}) for entry in entries)
            return
        with ThreadPoolExecutor(TAG_READERS) as readers:
            for entry, tags in zip(entries, readers.map(self._tags, entries), strict=True):
                if tags is not None:
                    yield self._listed(entry, tags)

    def _listed(self, entry: dict[str, Any], tags: dict[str, str]) -> Listed:
        groups = tags.get(self._groups_tag) if self._groups_tag else None
        return self._selection.listed(
            entry["Key"].removeprefix(self._prefix),
            uri=f"{self._home}/{entry['Key']}",
            fingerprint=f"{entry['ETag'].strip(chr(34))}-{entry['Size']}",
            size_bytes=entry["Size"],
            groups=None if groups is None else tuple(groups.split()),
            labels=tuple(tags.get(self._labels_tag, "").split()),
        )

    def _tags(self, entry: dict[str, Any]) -> dict[str, str] | None:
        """The tags of an object; None: it is gone meanwhile."""
        try:
            answer = self._client.get_object_tagging(Bucket=self._bucket, Key=entry["Key"])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None
            raise
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of boto3 as ours."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ABSENT:
            raise NotFound(f"{what} is not there") from None
        raise SourceError(f"{what}: {error}") from None
    except (BotoCoreError, OSError) as error:
        raise SourceError(f"{what}: {error}") from None
