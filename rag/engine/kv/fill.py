"""How a slot is filled for a prompt: what is kept is restored, the rest is computed and kept."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.engine.generator import Reuse
from rag.engine.kv.cache import KvCache
from rag.engine.kv.layout import Block, Bytes, Splicer, State, state_bytes
from rag.engine.kv.rope import Rope
from rag.engine.kv.tree import Node
from rag.engine.sequence import Segment, Span, common_prefix
from rag.engine.sequence import Sequence as Request

# Runs of tokens that are no passage are kept in pieces, so that prompts which part later share the first
# ones.
RUN = 256
# Restoring fewer tokens costs more than computing them.
WORTH_RESTORING = 16


T = TypeVar("T")
# Yields what is to be computed, is resumed when that is done, and returns what it was for.
Filling = Generator[Span | None, None, T]


class Cells(Protocol):
    """The slots of a model, as far as filling needs them."""

    def save(self, slot: int) -> NDArray[np.uint8]: ...
    def restore(self, slot: int, state: NDArray[np.uint8]) -> None: ...
    def trim(self, slot: int, keep: int) -> None: ...
    def scratch(self, size: int) -> Bytes: ...


class Filler:
    """Fills slots from a cache. `rope` moves passages to other positions; None: this model does not allow
    it."""

    def __init__(self, cells: Cells, cache: KvCache, rope: Rope | None) -> None:
        self.cells, self.cache, self.rope = cells, cache, rope

    def fill(self, request: Request, running: Sequence[Request] = ()) -> Iterator[Span | None]:
        """The spans that are to be computed for a prompt; between them KV is restored and kept.

        To be called when the prompt comes in: nothing is kept of it if a document is removed from then on,
        or was since the epoch of its terms.
        """
        request.epoch = self._epoch(request)
        return self._fill(request, running)

    def warm(self, request: Request) -> Iterator[Span | None]:
        """The spans that are to be computed so that the one passage of a prompt is kept for others."""
        request.epoch = self._epoch(request)
        return self._warm(request)

    def has(self, request: Request) -> bool:
        """Whether the one passage of a prompt is kept, right behind what stands before it."""
        namespace, prefix = request.terms.namespace, len(request.segments[0].tokens)
        assert namespace is not None
        match = self.cache.match(namespace, request.prompt)
        return match.length == len(request.prompt) and match.nodes[-1].start == prefix

    def _fill(self, request: Request, running: Sequence[Request]) -> Iterator[Span | None]:
        terms = request.terms
        if terms.namespace is None or terms.replayable or terms.reuse is Reuse.OFF:
            yield from plain(request)
            return
        self._borrow(request, running)
        if terms.reuse is Reuse.APPROXIMATE and self.rope and _is_assembled(request.segments):
            yield from self._approximate(request, self.rope)
        else:
            yield from self._exact(request)

    def keep(self, request: Request, tokens: Sequence[int]) -> Node | None:
        """Keep the KV of the first tokens of a slot for later; the last node of them, None if nothing may be
        kept."""
        namespace = request.terms.namespace
        if namespace is None or request.approximate or request.terms.reuse is Reuse.OFF:
            return None
        match = self.cache.match(namespace, tokens)
        whole = [node for node in match.nodes if node.end <= match.length]
        node = whole[-1] if whole else self.cache.root(namespace)
        runs = list(_runs(request.segments, node.end, len(tokens)))
        if not runs:
            return node
        state = self._state(request.slot)
        for begin, end in runs:
            added = self._add(request, node, tokens[begin:end], state.cut(begin, end))
            if added is None:
                return None
            node = added
        return node

    def _exact(self, request: Request) -> Iterator[Span | None]:
        blocks = self._kept(request)
        done = sum(block.tokens for block in blocks)
        if done >= WORTH_RESTORING:
            self._restore(request, blocks)
            request.cached = done
            yield None
        else:
            done = request.computed  # what its slot holds already
        yield Span(done, request.prompt[done:], output=True)
        self.keep(request, request.prompt)

    def _approximate(self, request: Request, rope: Rope) -> Iterator[Span | None]:
        prefix, chunks, tail = _parts(request.segments)
        front = yield from self._prefix(request, prefix)
        blocks = [block for node in front for block in [self.cache.load(node)] if block]
        at, computed = len(prefix), 0
        if sum(block.tokens for block in blocks) < at:  # lost on disk in this moment, or not to be kept
            yield from self._exact(request)
            return
        for number, chunk in enumerate(chunks):
            node = front[-1].child(chunk)
            block = self.cache.load(node) if node else None
            if block is None:
                if request.computed != len(prefix):
                    self._restore(request, blocks[: len(front)])
                block = yield from self._behind_prefix(request, front[-1], chunk)
                computed += len(chunk)
            moved = rope.moved(block, self.cache.shape, at)
            if number and request.terms.repair:
                blocks = yield from self._repaired(request, blocks, moved, chunk)
            else:
                blocks.append(moved)
            at += len(chunk)
            yield None
        self._restore(request, blocks)
        repaired = sum(min(request.terms.repair, len(chunk)) for chunk in chunks[1:])
        request.cached += sum(map(len, chunks)) - computed - repaired
        # The first passage stands where it was computed, so it is no approximation.
        request.approximate = max(1, sum(map(len, chunks[1:])) - repaired)
        yield Span(at, tail, output=True)

    def _warm(self, request: Request) -> Iterator[Span | None]:
        if self.has(request):
            return
        prefix, chunk = (segment.tokens for segment in request.segments)
        front = yield from self._prefix(request, prefix)
        blocks = [block for node in front for block in [self.cache.load(node)] if block]
        if sum(block.tokens for block in blocks) < len(prefix):  # lost on disk, or not to be kept
            return
        if request.computed != len(prefix):
            self._restore(request, blocks)
        yield from self._behind_prefix(request, front[-1], chunk)

    def _prefix(self, request: Request, prefix: list[int]) -> Filling[list[Node]]:
        """Fill in what stands before the passages; the nodes of it, none if it may not be kept."""
        namespace = request.terms.namespace
        assert namespace is not None
        nodes = self._nodes_of(namespace, prefix)
        if nodes is None:
            yield Span(0, prefix)
            state, node, nodes = self._state(request.slot), self.cache.root(namespace), []
            for begin in range(0, len(prefix), RUN):
                run = prefix[begin : begin + RUN]
                added = self._add(request, node, run, state.cut(begin, begin + len(run)))
                if added is None:
                    return []
                nodes.append(node := added)
        else:
            request.cached = len(prefix)
        return nodes

    def _behind_prefix(self, request: Request, front: Node, chunk: list[int]) -> Filling[Block]:
        """Compute a passage right behind the prefix, keep it, and take it out again; its block."""
        yield Span(front.end, chunk)
        block = self._state(request.slot).cut(front.end, front.end + len(chunk))
        self._add(request, front, chunk, block)
        self.cells.trim(request.slot, front.end)
        request.computed = front.end
        return block

    def _repaired(
        self, request: Request, before: list[Block], moved: Block, chunk: list[int]
    ) -> Filling[list[Block]]:
        """Compute the head of a passage anew behind what really stands before it (LegoLink, arXiv
        2410.15332)."""
        count = min(request.terms.repair, len(chunk))
        self._restore(request, before)
        yield Span(moved.start, chunk[:count])
        head = self._state(request.slot).cut(moved.start, moved.start + count)
        return [*before, head, moved.part(self.cache.shape, count, len(chunk))]

    def _kept(self, request: Request) -> list[Block]:
        """The blocks that a prompt begins with; its last token is always computed, for its logits."""
        assert request.terms.namespace is not None
        match = self.cache.match(request.terms.namespace, request.prompt[:-1])
        blocks: list[Block] = []
        for node in match.nodes:
            if (block := self.cache.load(node)) is None:
                break
            used = min(block.tokens, match.length - node.start)
            blocks.append(block if used == block.tokens else block.part(self.cache.shape, 0, used))
        return blocks

    def _nodes_of(self, namespace: str, tokens: list[int]) -> list[Node] | None:
        """The nodes of exactly these runs of tokens."""
        node, nodes = self.cache.root(namespace), []
        for begin in range(0, len(tokens), RUN):
            child = node.child(tokens[begin : begin + RUN])
            if child is None or self.cache.load(child) is None:
                return None
            nodes.append(child)
            node = child
        return nodes

    def _borrow(self, request: Request, running: Sequence[Request]) -> None:
        """If somebody's slot holds more of this beginning than the cache does, put it into the cache."""
        assert request.terms.namespace is not None
        known = self.cache.match(request.terms.namespace, request.prompt).length
        for other in running:
            if other is request or other.terms.namespace != request.terms.namespace:
                continue
            if other.approximate or other.terms.reuse is not Reuse.EXACT or other.terms.replayable:
                continue
            common = common_prefix(other.ids[: other.computed], request.ids)
            if common >= known + WORTH_RESTORING and self.keep(other, other.prompt[:common]):
                known = common

    def _restore(self, request: Request, blocks: Sequence[Block]) -> None:
        shape = self.cache.shape
        total = sum(block.tokens for block in blocks)
        buffer = self.cells.scratch(state_bytes(shape, total))
        self.cells.restore(request.slot, Splicer(shape).splice(blocks, buffer))
        request.computed = total

    def _epoch(self, request: Request) -> str:
        """The last removal that whoever asks knew of."""
        known = request.terms.epoch
        return self.cache.newest_epoch() if known is None else known

    def _add(self, request: Request, parent: Node, tokens: Sequence[int], block: Block) -> Node | None:
        """Keep a block, unless a document was removed since it was asked for, which may hold its words."""
        return self.cache.add(parent, tokens, block) if self.cache.newest_epoch() == request.epoch else None

    def _state(self, slot: int) -> State:
        return State(self.cells.save(slot))


def plain(request: Request) -> Iterator[Span | None]:
    """Nothing is restored and nothing is kept."""
    yield Span(0, request.prompt, output=True)


def _is_assembled(segments: Sequence[Segment]) -> bool:
    """Whether a prompt is a beginning, some passages in a row, and an end."""
    kinds = [segment.chunk for segment in segments]
    return kinds == [False, *[True] * (len(kinds) - 2), False] and len(kinds) > 2


def _parts(segments: Sequence[Segment]) -> tuple[list[int], list[list[int]], list[int]]:
    return segments[0].tokens, [segment.tokens for segment in segments[1:-1]], segments[-1].tokens


def _runs(segments: Sequence[Segment], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs in which positions `begin` to `end` are kept: passages whole, other tokens in pieces."""
    at = 0
    spans = [(len(segment.tokens), segment.chunk) for segment in segments]
    spans.append((max(0, end - sum(length for length, _ in spans)), False))  # what was generated
    for length, chunk in spans:
        size = length if chunk else RUN
        for start in range(at, at + length, max(1, size)):
            stop = min(start + size, at + length, end)
            if max(start, begin) < stop:
                yield max(start, begin), stop
        at += length
