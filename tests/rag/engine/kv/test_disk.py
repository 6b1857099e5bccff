"""One folder of blocks and several processes: some are killed, all keep to one limit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.engine.kv.cache import KvCache
from rag.engine.kv.disk import Disk, Record
from rag.engine.kv.layout import Block, Shape
from rag.store.revocation import epoch, revoke_kv

SHAPE = Shape(1, 1, 2, 1, 4096, 1, 2, 2048, True)
TOKENS = 32
FILE = TOKENS * SHAPE.token_bytes + 1000  # 0.5 MB
NOW = 2_000_000_000.0
KILLS = 8
WRITER = """
import itertools, sys
from pathlib import Path
import numpy as np
from rag.engine.kv.disk import Disk, Record
from rag.engine.kv.layout import Block

folder, model, tokens, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
disk = Disk(folder, model)
print("ready", flush=True)
for number in itertools.count():
    k = np.full((2, tokens, 4096), number % 256, np.uint8)
    block = Block(0, k, np.full((2, 2048, tokens * 2), number % 256, np.uint8))
    record = Record(f"{model}-{number % 40}", "", 0, list(range(tokens)), block.bytes, "")
    disk.save(record, block, rank=2e9 + number, limit_bytes=limit)
"""
Writer = Callable[[str], "subprocess.Popen[bytes]"]


def block(value: int) -> Block:
    """All of one value, so that a mixture of two shows."""
    k = np.full((2, TOKENS, 4096), value % 256, np.uint8)
    return Block(0, k, np.full((2, 2048, TOKENS * 2), value % 256, np.uint8))


def record(key: str, epoch: str = "") -> Record:
    return Record(key, "", 0, list(range(TOKENS)), TOKENS * SHAPE.token_bytes, epoch)


def save(disk: Disk, key: str, *, rank: float, files: int = 3) -> None:
    disk.save(record(key), block(1), rank=rank, limit_bytes=files * FILE)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/*"))


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*.kv"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """Start a process that writes blocks of a model without end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(model: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WRITER, str(tmp_path), model, str(TOKENS), str(10 * FILE)]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
        running.append(process)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_writer_that_is_killed_leaves_no_torn_block_and_nothing_to_grow(
    tmp_path: Path, writer: Writer
) -> None:
    dice, found = random.Random(1), 0
    for _ in range(KILLS):
        process = writer("a")
        time.sleep(dice.uniform(0.0, 0.15))
        process.kill()
        process.wait()
        disk = Disk(tmp_path, "a")
        assert not list(tmp_path.rglob("*.tmp")) and taken(tmp_path) <= 10 * FILE
        for one in list(disk.records("")):
            whole = disk.load(one.key, SHAPE)
            assert whole and whole.k.min() == whole.k.max() == whole.v.min() == whole.v.max()
            found += 1
    assert found > KILLS


def test_two_writers_keep_to_one_limit_and_neither_stops_the_other(tmp_path: Path, writer: Writer) -> None:
    processes = [writer(model) for model in ("a", "b", "b")]
    most = 0
    for _ in range(40):
        starting = Disk(tmp_path, "b")
        with starting._alone():
            most = max(most, taken(tmp_path))
        time.sleep(0.02)
    assert all(process.poll() is None for process in processes), "a writer was refused"
    assert 5 * FILE < most <= 10 * FILE


def test_an_engine_that_starts_leaves_alone_what_another_is_writing(tmp_path: Path) -> None:
    disk = Disk(tmp_path, "a")
    part = disk.folder / "half.tmp"
    with disk._alone():
        part.write_bytes(b"PFKV")
        Disk(tmp_path, "a")
        assert part.exists()
    Disk(tmp_path, "b")
    assert not part.exists(), "left over by a writer that was killed"


def test_the_oldest_of_all_models_goes_first_and_never_for_what_ranks_lower(tmp_path: Path) -> None:
    one, other = Disk(tmp_path, "one"), Disk(tmp_path, "other")
    save(one, "a", rank=NOW)
    save(other, "b", rank=NOW + 1)
    save(one, "c", rank=NOW + 2)
    assert one.touch("a", NOW + 3)
    save(other, "d", rank=NOW + 4)
    assert kept(tmp_path) == ["a.kv", "c.kv", "d.kv"]
    save(other, "e", rank=NOW + 1)
    assert kept(tmp_path) == ["a.kv", "c.kv", "d.kv"] and other.used_bytes() == taken(tmp_path)
    assert not other.touch("b", NOW)


def test_what_cannot_fit_removes_nothing(tmp_path: Path) -> None:
    disk = Disk(tmp_path, "a")
    save(disk, "a", rank=NOW)
    save(disk, "b", rank=NOW + 1, files=0)
    assert kept(tmp_path) == ["a.kv"]


def test_a_removal_takes_what_is_half_written_too(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "kv", "a")
    (disk.folder / "half.tmp").write_bytes(b"PFKV")
    save(disk, "a", rank=NOW)
    revoke_kv(tmp_path)
    assert kept(tmp_path / "kv") == []


def test_what_a_removal_missed_is_not_found_by_the_next_process(tmp_path: Path) -> None:
    folder = tmp_path / "kv"
    before = epoch(folder)
    revoke_kv(tmp_path)
    # A writer that is killed between its last two steps.
    Disk(folder, "a").save(record("a", before), block(1), rank=NOW, limit_bytes=FILE)
    KvCache(folder, "a", SHAPE, memory_bytes=0, disk_bytes=FILE).close()
    assert kept(folder) == []
