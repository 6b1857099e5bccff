"""Which tokens have KV kept, as a tree: a node is a run of tokens behind its parent's. No KV lies here
itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rag.engine.kv.layout import Block
from rag.engine.sequence import Ids, common_prefix


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens and where its KV is: in `block`, on disk, or both. The root has no tokens.

    `value` ranks nodes when room is needed: see Tree.touch. `used`: when it was last wanted, in seconds since
    1970.
    """

    key: str
    parent: Node | None
    tokens: Ids
    start: int
    bytes: int = 0
    block: Block | None = None
    on_disk: bool = False
    hits: int = 0
    used: float = field(default_factory=time.time)
    value: float = 0.0
    children: dict[int, list[Node]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def child(self, tokens: Sequence[int]) -> Node | None:
        """The child with exactly these tokens."""
        for node in self.children.get(tokens[0], []):
            if len(node.tokens) == len(tokens) and np.array_equal(node.tokens, tokens):
                return node
        return None


@dataclass(frozen=True, slots=True)
class Match:
    """The nodes whose tokens a prompt begins with; of the last one perhaps only the first `used` tokens."""

    nodes: tuple[Node, ...]
    used: int

    @property
    def length(self) -> int:
        """Tokens matched."""
        return self.nodes[-1].start + self.used if self.nodes else 0


class Tree:
    """Runs of tokens by namespace. Nothing is ever found from another namespace."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.nodes: dict[str, Node] = {}
        self._roots: dict[str, Node] = {}
        self._clock = 0.0

    def __contains__(self, node: Node) -> bool:
        """Whether a node is (still) here: a root, or one that was added and not removed."""
        return node.parent is None or self.nodes.get(node.key) is node

    def root(self, namespace: str) -> Node:
        """Where the prompts of a namespace begin."""
        if namespace not in self._roots:
            key = digest(self.fingerprint.encode(), namespace.encode())
            self._roots[namespace] = Node(key, None, np.empty(0, np.int32), 0)
        return self._roots[namespace]

    def match(self, namespace: str, prompt: Sequence[int]) -> Match:
        """The longest beginning of a prompt that is known."""
        tokens = np.asarray(prompt, np.int32)
        node, path, used = self.root(namespace), [], 0
        while node.end < len(tokens):
            best, length = None, 0
            for child in node.children.get(int(tokens[node.end]), []):
                common = common_prefix(child.tokens, tokens[node.end :])
                if common > length:
                    best, length = child, common
            if best is None:
                break
            path.append(best)
            used = length
            if length < len(best.tokens):
                break
            node = best
        return Match(tuple(path), used)

    def add(self, parent: Node, tokens: Sequence[int], block: Block | None, size: int) -> Node:
        """Append a run of tokens to a node; the one that is there already, if it is."""
        if known := parent.child(tokens):
            known.block = known.block or block
            return known
        run = np.asarray(tokens, np.int32)
        key = digest(parent.key.encode(), run.tobytes())
        node = Node(key, parent, run, parent.end, bytes=size, block=block)
        parent.children.setdefault(int(run[0]), []).append(node)
        self.nodes[key] = node
        self.touch(node)
        return node

    def remove(self, node: Node) -> list[Node]:
        """Take a node out with everything behind it; the nodes that went."""
        gone = list(self.below(node))
        for one in gone:
            self.nodes.pop(one.key, None)
        if node.parent:
            siblings = node.parent.children.get(int(node.tokens[0]), [])
            if node in siblings:
                siblings.remove(node)
        return gone

    def below(self, node: Node) -> Iterator[Node]:
        """A node and everything behind it."""
        yield node
        for children in node.children.values():
            for child in children:
                yield from self.below(child)

    def touch(self, node: Node) -> None:
        """It was of use: its value is now the clock plus what computing it again would cost for its size.

        Greedy-dual-size-frequency (Cherkasova 1998): the clock is the value of the last node that had to go,
        so old favourites fade. A token's attention grows with its position, hence the cost.
        """
        node.hits += 1
        per_token = 1.0 + (node.start + len(node.tokens) / 2) / 4096
        node.value = self._clock + node.hits * per_token

    def passed(self, node: Node) -> None:
        """A node had to go for room."""
        self._clock = max(self._clock, node.value)


def digest(*parts: bytes) -> str:
    """A name for what stands behind something else."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:40]
