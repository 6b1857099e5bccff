"""The KV that is kept: in memory within a budget, on disk within another, the least valuable going first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.engine.kv.disk import Disk, Record
from rag.engine.kv.layout import Block, Shape
from rag.engine.kv.tree import Match, Node, Tree, digest
from rag.store.revocation import epoch

MIN_FREE_BYTES = 1_000_000_000  # of the disk, left to everything else
WRITES_AT_ONCE = 4  # blocks that wait for the disk stay in memory
RETRY_S = 60.0  # how long nothing is written after the disk refused something
# Most of what was of use once is never asked for again: it ranks as if that had been a day earlier.
ONCE_S = 86_400.0


@dataclass(slots=True)
class Counts:
    """What the cache did so far."""

    loaded: int = 0
    saved: int = 0
    dropped: int = 0
    damaged: int = 0
    refused: int = 0  # by the disk


class KvCache:
    """Blocks of one `shape` by tokens and namespace. One thread uses it; one more of its own writes files.

    `fingerprint` stands for all that KV depends on: model, build, types, layout, rope parameters.
    `memory_bytes` are this cache's own, `disk_bytes` those of all processes and models that share the folder.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        shape: Shape,
        *,
        memory_bytes: int,
        disk_bytes: int,
        min_free_bytes: int = MIN_FREE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory_bytes, self.disk_bytes, self.min_free_bytes = memory_bytes, disk_bytes, min_free_bytes
        self.fingerprint, self.shape = fingerprint, shape
        self.tree = Tree(fingerprint)
        self.counts = Counts()
        self._folder, self._epoch = folder, epoch(folder)
        self._disk = Disk(folder, fingerprint)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kv-writer")
        self._writes: dict[str, Future[bool]] = {}
        self._clock, self._no_writes_until = clock, 0.0
        self._namespaces: set[str] = set()
        self._records = {record.key: record for record in self._disk.records(self._epoch)}
        self._in_memory = 0

    def match(self, namespace: str, prompt: Sequence[int]) -> Match:
        """The longest beginning of a prompt whose KV is kept."""
        self._heed_revocation()
        self._open(namespace)
        return self.tree.match(namespace, prompt)

    def root(self, namespace: str) -> Node:
        self._open(namespace)
        return self.tree.root(namespace)

    def add(self, parent: Node, tokens: Sequence[int], block: Block) -> Node | None:
        """Keep a block behind another one; None if that one had to go."""
        if parent not in self.tree:
            return None
        known = parent.child(tokens)
        if known and known.block:
            return known
        node = self.tree.add(parent, tokens, block, block.bytes)
        self._in_memory += block.bytes
        self._make_room()
        return node

    def load(self, node: Node) -> Block | None:
        """The KV of a node; None if it is lost, and then the node is gone too."""
        self.tree.touch(node)
        node.used = time.time()
        if node.on_disk:  # unless it had to go for what another process wrote
            node.on_disk = self._disk.touch(node.key, rank(node))
        if block := node.block:
            return block
        block = node.block = self._disk.load(node.key, self.shape) if node.on_disk else None
        if block is None:
            self.counts.damaged += node.on_disk
            self._drop(node)
            return None
        self.counts.loaded += 1
        self._in_memory += node.bytes
        self._make_room(spared=node)
        return block

    def save(self, node: Node) -> None:
        """Write a node to disk, in the background."""
        if node.on_disk or node.block is None or node.key in self._writes or not self._has_room(node.bytes):
            return
        parent = node.parent.key if node.parent else ""
        record = Record(node.key, parent, node.start, node.tokens.tolist(), node.bytes, self._epoch)
        self._writes[node.key] = self._writer.submit(self._write, record, node.block, rank(node))

    def park(self, node: Node) -> None:
        """Write a node and those in front of it, and hold no memory for them as soon as that is done."""
        while node.parent:
            self.tree.touch(node)  # a next turn is expected, so it does not rank as what was of use once
            self.save(node)
            if sum(map(len, node.children.values())) < 2:  # what others begin with as well stays
                node.value = 0.0
                if node.on_disk:
                    self._forget_block(node)
            node = node.parent

    def settle(self, *, wait: bool = False) -> None:
        """Note which writes are done."""
        for key, write in list(self._writes.items()):
            if not wait and not write.done():
                continue
            del self._writes[key]
            if error := write.exception():
                self._refused(error)
            written = error is None and write.result()
            if node := self.tree.nodes.get(key):
                node.on_disk = written
                self.counts.saved += node.on_disk
                if node.on_disk and node.value == 0.0:
                    self._forget_block(node)
            elif written:
                self._disk.remove(key)

    def save_next(self) -> bool:
        """In a quiet moment: write the most valuable block that is only in memory. False: there is none."""
        self._heed_revocation()
        self.settle()
        if len(self._writes) >= WRITES_AT_ONCE:
            return True
        fresh = [node for node in self.tree.nodes.values() if self._is_unsaved(node)]
        if not fresh or not self.disk_bytes:
            return bool(self._writes)
        node = max(fresh, key=lambda node: node.value)
        before = len(self._writes)
        self.save(node)
        return len(self._writes) > before

    def forget(self, namespace: str) -> None:
        """Remove all KV of a namespace, from disk too."""
        root = self.root(namespace)
        self.settle(wait=True)
        for node in [node for children in root.children.values() for node in children]:
            self._drop(node)

    def newest_epoch(self) -> str:
        """Changes with every removal of a document: what came in at another epoch must not be added."""
        return epoch(self._folder)

    def _heed_revocation(self) -> None:
        """Drop everything if a document was removed since it was computed."""
        if (now := self.newest_epoch()) == self._epoch:
            return
        for namespace in list(self._namespaces):
            self.forget(namespace)
        for key in list(self._records):
            self._disk.remove(key)
            del self._records[key]
        self._epoch = now

    def describe(self) -> dict[str, Any]:
        """Sizes in bytes, and counts."""
        kept = sum(node.block is not None for node in self.tree.nodes.values())
        return {
            "nodes": len(self.tree.nodes),
            "token_bytes": self.shape.token_bytes,
            "in_memory": kept,
            "memory_bytes": self._in_memory,
            "disk_bytes": self._disk.used_bytes(),
            "loaded": self.counts.loaded,
            "saved": self.counts.saved,
            "dropped": self.counts.dropped,
            "damaged": self.counts.damaged,
            "refused": self.counts.refused,
        }

    def close(self) -> None:
        """Write what is only in memory, as far as the disk may hold it and takes it."""
        while self.save_next():
            self.settle(wait=True)
        self._writer.shutdown()

    def _open(self, namespace: str) -> None:
        """Put what an earlier process left on disk behind the root of a namespace, at its first use."""
        if namespace in self._namespaces:
            return
        self._namespaces.add(namespace)
        root = self.tree.root(namespace)
        known = {root.key: root}
        for record in list(self._records.values()):  # those in front come first
            parent = known.get(record.parent)
            if parent is None:
                continue
            node = self.tree.add(parent, record.tokens, None, record.bytes)
            node.on_disk = True
            known[node.key] = node
            del self._records[record.key]

    def _make_room(self, spared: Node | None = None) -> None:
        """Keep to both budgets, the least valuable first."""
        self.settle()
        if self._in_memory <= self.memory_bytes:
            return
        held = [node for node in self.tree.nodes.values() if node.block is not None]
        for node in sorted(held, key=lambda node: node.value):
            if self._in_memory <= self.memory_bytes:
                break
            if node is not spared and node.key not in self._writes:
                self.tree.passed(node)
                self._let_go(node)

    def _let_go(self, node: Node) -> None:
        """Out of memory; what was of use more than once goes to disk first."""
        if not node.on_disk and node.hits > 1:
            self.save(node)
            if node.key in self._writes:
                node.value = 0.0  # its memory is free once it is written
                return
        if node.on_disk:
            self._forget_block(node)
        else:
            self._drop(node)

    def _has_room(self, size: int) -> bool:
        """Whether the disk may take more."""
        if size > self.disk_bytes or self._clock() < self._no_writes_until:
            return False
        try:
            return self._disk.free_bytes() >= size + self.min_free_bytes
        except OSError as error:
            self._refused(error)
            return False

    def _refused(self, error: BaseException) -> None:
        """The disk took nothing: leave it alone for a while. Everything goes on in memory."""
        self.counts.refused += 1
        self._no_writes_until = self._clock() + RETRY_S
        print(f"KV was not written: {error}; the next try is in {RETRY_S:g} s", file=sys.stderr)

    def _write(self, record: Record, block: Block, rank: float) -> bool:
        """In the writer's thread; False: it may not be kept any more. Raises OSError where it cannot be."""
        try:
            self._disk.save(record, block, rank=rank, limit_bytes=self.disk_bytes)
        except FileNotFoundError:  # a removal takes what is half written too
            if self.newest_epoch() == record.epoch:
                raise
        # The file may have come into being when those of the removed document were deleted already.
        if self.newest_epoch() != record.epoch:
            self._disk.remove(record.key)
            return False
        return True

    def _drop(self, node: Node) -> None:
        for gone in self.tree.remove(node):
            if gone.block is not None:
                self._in_memory -= gone.bytes
                gone.block = None
            if gone.on_disk:
                self._disk.remove(gone.key)
                gone.on_disk = False
            self.counts.dropped += 1

    def _forget_block(self, node: Node) -> None:
        if node.block is not None:
            self._in_memory -= node.bytes
            node.block = None

    def _is_unsaved(self, node: Node) -> bool:
        return node.block is not None and not node.on_disk and node.key not in self._writes


def rank(node: Node) -> float:
    """When a node was of use, in seconds since 1970; what stands behind others ranks lower, since it is worth
    nothing without them."""
    return node.used - node.start / 1000 - (ONCE_S if node.hits < 2 else 0.0)


def fingerprint(*facts: object) -> str:
    """A name for everything that KV depends on: any other value of any fact gives another name."""
    return digest(*(repr(fact).encode() for fact in facts))[:24]
