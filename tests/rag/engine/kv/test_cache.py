"""What is kept, found, written, lost and forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.kv.cache import RETRY_S, KvCache, fingerprint
from rag.engine.kv.disk import Disk
from rag.engine.kv.layout import Block, Shape
from rag.engine.kv.tree import Tree
from rag.store.revocation import revoke_kv

SHAPE = Shape(1, 1, 2, 1, 8, 1, 2, 4, True)
TOKEN = SHAPE.token_bytes


def block(tokens: list[int], start: int = 0) -> Block:
    """A block whose bytes say which tokens it is of."""
    k = np.zeros((2, len(tokens), 8), np.uint8) + np.array(tokens, np.uint8)[None, :, None]
    return Block(
        start, k, np.repeat(np.array(tokens, np.uint8), 2)[None, None].repeat(4, 1).repeat(2, 0).copy()
    )


def cache(folder: Path, *, memory: int = 10_000, disk: int = 100_000, name: str = "f") -> KvCache:
    return KvCache(folder, fingerprint(name), SHAPE, memory_bytes=memory, disk_bytes=disk)


def put(cache: KvCache, namespace: str, *runs: list[int]) -> None:
    node = cache.root(namespace)
    for run in runs:
        added = cache.add(node, run, block(run, node.end))
        assert added
        node = added


def held(cache: KvCache, namespace: str, prompt: list[int]) -> list[int]:
    """The tokens whose KV can really be had for a prompt, read from the blocks themselves."""
    match, tokens = cache.match(namespace, prompt), []
    for node in match.nodes:
        got = cache.load(node)
        if got is None:
            break
        tokens += got.k[0, :, 0].tolist()
    return tokens[: match.length]


def test_the_longest_beginning_is_found_also_inside_a_run(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "a", [1, 2, 3], [4, 5, 6])
    put(kept, "a", [1, 2, 3], [4, 7])
    assert held(kept, "a", [1, 2, 3, 4, 5, 9]) == [1, 2, 3, 4, 5]
    assert held(kept, "a", [1, 2, 3, 4, 7, 8]) == [1, 2, 3, 4, 7]
    assert held(kept, "a", [2, 2]) == []


@given(prompts=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=8), min_size=1, max_size=12))
def test_a_match_is_the_longest_common_beginning_of_what_was_added(prompts: list[list[int]]) -> None:
    tree = Tree("f")
    for prompt in prompts[:-1]:
        match = tree.match("a", prompt)
        whole = [node for node in match.nodes if node.end <= match.length]
        parent = whole[-1] if whole else tree.root("a")
        if rest := prompt[parent.end :]:
            tree.add(parent, rest, None, 1)

    def common(other: list[int]) -> int:
        pairs = zip(other, prompts[-1], strict=False)
        return next(
            (at for at, (one, two) in enumerate(pairs) if one != two), min(len(other), len(prompts[-1]))
        )

    assert tree.match("a", prompts[-1]).length == max(map(common, prompts[:-1]), default=0)


def test_no_namespace_finds_what_another_left(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "tenant\x00group", [1, 2, 3])
    assert held(kept, "tenant", [1, 2, 3]) == held(kept, "", [1, 2, 3]) == []
    kept.close()
    assert held(cache(tmp_path), "tenant", [1, 2, 3]) == []


def test_what_was_kept_outlives_the_process(tmp_path: Path) -> None:
    first = cache(tmp_path)
    put(first, "a", [1, 2, 3], [4, 5])
    first.close()
    second = cache(tmp_path)
    assert held(second, "a", [1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5]
    assert second.describe()["loaded"] == 2


def test_another_model_or_build_never_sees_it(tmp_path: Path) -> None:
    first = cache(tmp_path, name="this build")
    put(first, "a", [1, 2, 3])
    first.close()
    assert held(cache(tmp_path, name="that build"), "a", [1, 2, 3]) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign head", "another position"])
def test_a_damaged_file_is_no_file(tmp_path: Path, damage: str) -> None:
    first = cache(tmp_path)
    put(first, "a", [1, 2, 3])
    first.close()
    [file] = tmp_path.rglob("*.kv")
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[:-5]
    elif damage == "flipped":
        data[-3] ^= 1
    elif damage == "empty":
        data = bytearray()
    elif damage == "another position":
        data = bytearray(data.replace(b'"start": 0', b'"start": 1'))
    else:
        data[:4] = b"ELF!"
    file.write_bytes(data)
    again = cache(tmp_path)
    assert held(again, "a", [1, 2, 3]) == []
    assert not list(tmp_path.rglob("*.kv"))
    put(again, "a", [1, 2, 3])
    assert held(again, "a", [1, 2, 3]) == [1, 2, 3]


def test_memory_keeps_to_its_budget_and_the_useful_goes_to_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path, memory=6 * TOKEN)
    put(kept, "a", [1, 2, 3])
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]  # of use once more
    for first in range(10, 40, 3):
        put(kept, "a", [first, first, first])
    kept.settle(wait=True)
    assert kept.describe()["memory_bytes"] <= 6 * TOKEN
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]
    assert held(kept, "a", [10, 10, 10]) == []  # nobody came back for it


def test_the_disk_keeps_to_its_budget_too(tmp_path: Path) -> None:
    kept = cache(tmp_path, disk=1_000)
    for first in range(10, 40, 3):
        put(kept, "a", [first, first, first])
    kept.close()
    files = list(tmp_path.rglob("*.kv"))
    assert 0 < kept.describe()["disk_bytes"] == sum(file.stat().st_size for file in files) <= 1_000


def test_what_was_of_use_more_than_once_stays_on_a_full_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path, disk=1_000)
    put(kept, "a", [1, 2, 3])
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]
    for first in range(10, 40, 3):
        put(kept, "a", [first, first, first])
        kept.save_next()
    kept.close()
    assert held(cache(tmp_path), "a", [1, 2, 3]) == [1, 2, 3]


def test_two_engines_of_one_home_keep_to_one_limit_and_lose_only_what_had_to_go(tmp_path: Path) -> None:
    first = cache(tmp_path, disk=1_000)
    put(first, "a", [1, 2, 3])
    first.close()
    engines = [cache(tmp_path, disk=1_000, name=name) for name in ("f", "f", "another model")]
    assert held(engines[0], "a", [1, 2, 3]) == [1, 2, 3]
    for number in range(10, 70, 3):
        for kept in engines:
            put(kept, "b", [number, number, number])
            held(kept, "b", [number, number, number])
            kept.save_next()
            kept.settle(wait=True)
            assert sum(file.stat().st_size for file in tmp_path.rglob("*.kv")) <= 1_000
    assert held(engines[1], "a", [1, 2, 3]) == []
    put(engines[1], "a", [1, 2, 3])
    assert held(engines[1], "a", [1, 2, 3]) == [1, 2, 3]
    assert [kept.describe()["damaged"] + kept.describe()["refused"] for kept in engines] == [0, 0, 0]


def test_what_had_to_go_for_another_engine_is_written_again_when_it_is_of_use(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "a", [1, 2, 3])
    kept.save_next()
    kept.settle(wait=True)
    [file] = tmp_path.rglob("*.kv")
    file.unlink()
    assert not kept.save_next(), "written though nobody asked for it"
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]
    kept.close()
    assert file.exists()


def test_a_parked_session_holds_no_memory_and_comes_back(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "a", [1, 2, 3], [4, 5])
    kept.park(kept.match("a", [1, 2, 3, 4, 5]).nodes[-1])
    kept.settle(wait=True)
    assert kept.describe()["memory_bytes"] == 0
    assert held(kept, "a", [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]


def test_a_session_is_parked_on_a_full_disk_too(tmp_path: Path) -> None:
    kept = cache(tmp_path, disk=1_000)
    for first in range(10, 40, 3):
        put(kept, "a", [first, first, first])
        assert held(kept, "a", [first, first, first])
        kept.save_next()
        kept.settle(wait=True)
    put(kept, "a", [1, 2, 3])
    kept.park(kept.match("a", [1, 2, 3]).nodes[-1])
    kept.settle(wait=True)
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]


def test_a_forgotten_namespace_leaves_nothing_on_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "a", [1, 2, 3])
    put(kept, "b", [1, 2, 3])
    while kept.save_next():
        kept.settle(wait=True)
    kept.forget("a")
    assert held(kept, "a", [1, 2, 3]) == [] and held(kept, "b", [1, 2, 3]) == [1, 2, 3]
    assert len(list(tmp_path.rglob("*.kv"))) == 1


def test_a_removed_document_leaves_no_kv_anywhere(tmp_path: Path) -> None:
    kept = cache(tmp_path / "kv")
    put(kept, "a", [1, 2, 3])
    while kept.save_next():
        kept.settle(wait=True)
    put(kept, "b", [4, 5])
    revoke_kv(tmp_path)
    assert not list(tmp_path.rglob("*.kv"))
    assert held(kept, "a", [1, 2, 3]) == held(kept, "b", [4, 5]) == []
    put(kept, "a", [7, 8])
    kept.close()
    again = cache(tmp_path / "kv")
    assert held(again, "a", [7, 8]) == [7, 8] and held(again, "b", [4, 5]) == []


def test_an_engine_that_ends_after_a_removal_writes_nothing_back(tmp_path: Path) -> None:
    kept = cache(tmp_path / "kv")
    put(kept, "a", [1, 2, 3])
    revoke_kv(tmp_path)
    kept.close()
    assert not list(tmp_path.rglob("*.kv"))


def test_nothing_is_kept_behind_what_a_removal_took(tmp_path: Path) -> None:
    kept = cache(tmp_path / "kv")
    front = kept.add(kept.root("a"), [1, 2, 3], block([1, 2, 3]))
    assert front
    revoke_kv(tmp_path)
    assert held(kept, "b", [1]) == []  # another prompt notices it first
    assert kept.add(front, [4, 5], block([4, 5], 3)) is None
    kept.close()
    assert kept.describe()["memory_bytes"] == 0 and not list(tmp_path.rglob("*.kv"))


def test_a_block_that_is_being_written_during_a_removal_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Disk.save

    def after_a_removal(*args: Any) -> None:
        revoke_kv(tmp_path)
        write(*args)

    kept = cache(tmp_path / "kv")
    put(kept, "a", [1, 2, 3])
    monkeypatch.setattr(Disk, "save", after_a_removal)
    assert kept.save_next()
    kept.settle(wait=True)
    assert not list(tmp_path.rglob("*.kv")) and kept.describe()["disk_bytes"] == 0


def test_a_disk_that_refuses_is_left_alone_for_a_while(tmp_path: Path) -> None:
    now = 0.0
    kept = KvCache(
        tmp_path, "f", SHAPE, memory_bytes=10_000, disk_bytes=10_000, min_free_bytes=0, clock=lambda: now
    )
    put(kept, "a", [1, 2, 3])
    [node] = kept.tree.nodes.values()
    in_the_way = tmp_path / "f" / f"{node.key}.tmp"  # not even root can open a folder for writing
    in_the_way.mkdir()
    assert kept.save_next()
    kept.settle(wait=True)
    in_the_way.rmdir()
    assert not kept.save_next(), "tried again at once"
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3] and kept.describe()["refused"] == 1
    now = RETRY_S
    kept.close()
    assert len(list(tmp_path.rglob("*.kv"))) == 1


@pytest.mark.timeout(20)
def test_an_engine_ends_though_nothing_can_be_written(tmp_path: Path) -> None:
    kept = cache(tmp_path / "kv")
    put(kept, "a", [1, 2, 3], [4, 5])
    for node in kept.tree.nodes.values():
        (tmp_path / "kv" / fingerprint("f") / f"{node.key}.tmp").mkdir()
    kept.close()
    assert not list(tmp_path.rglob("*.kv"))


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    kept = cache(tmp_path / "kv")
    put(kept, "a", [1, 2, 3])
    shutil.rmtree(tmp_path / "kv")
    kept.close()
    assert held(cache(tmp_path / "kv"), "a", [1, 2, 3]) == [1, 2, 3]


def test_a_deleted_home_stays_deleted_and_the_engine_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    kept = cache(home / "kv")
    put(kept, "a", [1, 2, 3])
    shutil.rmtree(home)
    assert not kept.save_next()
    assert held(kept, "a", [1, 2, 3]) == [1, 2, 3]
    assert kept.describe()["disk_bytes"] == 0
    kept.close()
    assert not home.exists()


def test_a_torn_write_is_cleared_away(tmp_path: Path) -> None:
    disk = Disk(tmp_path, "f")
    (disk.folder / "half.tmp").write_bytes(b"PFKV0001")
    Disk(tmp_path, "f")
    assert not list(tmp_path.rglob("*.tmp"))


def test_no_title_and_no_group_is_written_to_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    put(kept, "acme\nboard-of-directors", [1, 2, 3])
    kept.close()
    assert all(
        b"board" not in file.read_bytes() and "board" not in file.name for file in tmp_path.rglob("*.kv")
    )
