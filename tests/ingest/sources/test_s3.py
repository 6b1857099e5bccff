"""A bucket of a real local S3 server (moto's)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ingest.sources.s3 import S3Source
from ingest.sources.selection import Rule, Selection
from rag.errors import LimitExceeded, NotFound, SourceError
from tests.ingest.sources.conftest import serving

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "eu-central-1"}

pytestmark = [
    # botocore still calls datetime.utcnow() in places.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore.*"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    env = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": "10"}
    with serving(lambda port: [*command, str(port)], stderr=subprocess.DEVNULL, env=env) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty bucket of its own for each test, with boto3's view of it."""
    resource = boto3.resource("s3", endpoint_url=server, **KEYS)
    bucket = resource.Bucket(f"docs-{abs(hash(request.node.name))}")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield bucket
    resource.meta.client.close()


@pytest.fixture
def opened(server: str, bucket: Any) -> Iterator[Callable[..., S3Source]]:
    sources = []

    def opened(**options: Any) -> S3Source:
        options = {"bucket": bucket.name, "endpoint_url": server, "max_file_bytes": 1000} | options
        source = S3Source(name="s", region="eu-central-1", access_key="key", secret_key="secret", **options)
        sources.append(source)
        return source

    yield opened
    for source in sources:
        source.close()


def test_objects_are_listed_and_fetched(opened: Any, bucket: Any, server: str, tmp_path: Path) -> None:
    for key in ("a.txt", "hr/pay & rise.txt", "hr/ü//x.txt", "empty/"):
        bucket.put_object(Key=key, Body=key.encode())
    changes = opened().changes("")
    root = f"{server}/{bucket.name}"
    assert changes.roots == (root,)
    assert [item.uri for item in changes.items] == [
        f"{root}/{key}" for key in ("a.txt", "hr/pay & rise.txt", "hr/ü//x.txt")
    ]
    for item in changes.items:
        fetched = opened().fetch(item.uri, tmp_path / "into").read_bytes()
        assert fetched.decode() == item.uri.removeprefix(f"{root}/") and len(fetched) == item.size_bytes


def test_the_fingerprint_follows_the_content(opened: Any, bucket: Any) -> None:
    bucket.put_object(Key="a.txt", Body=b"one")
    first = opened().changes("").items
    bucket.put_object(Key="a.txt", Body=b"one")
    assert opened().changes("").items == first
    bucket.put_object(Key="a.txt", Body=b"two")
    assert opened().changes("").items[0].fingerprint != first[0].fingerprint


def test_a_bucket_is_read_beyond_its_first_page(opened: Any, bucket: Any) -> None:
    for number in range(25):
        bucket.put_object(Key=f"{number}.txt", Body=b"x")
    assert len(opened().changes("").items) == 25


def test_a_folder_is_a_folder_and_not_a_prefix(opened: Any, bucket: Any, server: str) -> None:
    for key in ("docs/a.md", "docs/hr/b.md", "docs-old/c.md"):
        bucket.put_object(Key=key, Body=b"x")
    selection = Selection(groups=("all",), rules=(Rule("hr/**", groups=("hr",)),))
    changes = opened(folder="docs", selection=selection).changes("")
    assert changes.roots == (f"{server}/{bucket.name}/docs",)
    assert [(item.name, item.groups) for item in changes.items] == [("a.md", ("all",)), ("b.md", ("hr",))]
    with pytest.raises(NotFound, match="not part"):
        opened(folder="docs").fetch(f"{server}/{bucket.name}/docs-old/c.md", Path("never"))


def test_permissions_come_from_tags_when_asked(opened: Any, bucket: Any) -> None:
    bucket.put_object(Key="a.txt", Body=b"x", Tagging="groups=hr%20board&class=secret")
    bucket.put_object(Key="b.txt", Body=b"x")
    selection = Selection(groups=("all",))
    listed = opened(groups_tag="groups", labels_tag="class", selection=selection).changes("").items
    assert [(item.groups, item.labels) for item in listed] == [(("board", "hr"), ("secret",)), (("all",), ())]
    assert {item.groups for item in opened(selection=selection).changes("").items} == {("all",)}


def test_what_is_gone_too_large_or_out_of_reach_has_its_error(
    opened: Any, bucket: Any, server: str, tmp_path: Path
) -> None:
    bucket.put_object(Key="large", Body=b"x" * 1001)
    root = f"{server}/{bucket.name}"
    with pytest.raises(LimitExceeded, match="1001 bytes"):
        opened().fetch(f"{root}/large", tmp_path / "into")
    with pytest.raises(NotFound, match="is not there"):
        opened().fetch(f"{root}/nothing", tmp_path / "into")
    with pytest.raises(SourceError, match="NoSuchBucket"):
        opened(bucket="no-such-bucket").changes("")
    with pytest.raises(SourceError, match="Could not connect"):
        opened(endpoint_url="http://127.0.0.1:1").changes("")
