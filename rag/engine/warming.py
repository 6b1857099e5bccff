"""Passages that may be asked for next, computed while the engine has nothing to do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence as Run
from dataclasses import dataclass, replace

from rag.engine.generator import Reuse, Terms
from rag.engine.kv.fill import Filler
from rag.engine.model import Model
from rag.engine.sequence import Segment, Sequence
from rag.errors import RagError

MOST_WAITING = 64  # passages; beyond that the oldest wishes are given up
# Whoever comes waits for one step at most; below 64 tokens llama.cpp's matrix kernels lose speed.
PIECE = 64
SLOT = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A passage, and what stands before all passages of its prompt. `terms.epoch` is known."""

    prefix: Segment
    passage: Segment
    terms: Terms

    @property
    def key(self) -> tuple[str | None, bytes]:
        """Equal for equal tokens of one namespace."""
        return self.terms.namespace, self.request().ids.tobytes()

    def request(self) -> Sequence:
        """It as a prompt that nobody waits for and that no answer follows."""
        return Sequence([self.prefix, self.passage], 0, self.terms, slot=SLOT)


class Warmer:
    """Computes passages right behind what stands before them, as their first use would, and keeps their KV.

    It has a slot of the model while that serves nobody: to be stepped only then, and stopped before anybody
    is served. Without a `filler` nothing is kept, so nothing is computed either.
    """

    def __init__(self, model: Model, filler: Filler | None) -> None:
        self.model, self.filler = model, filler
        self.computed, self.cpu_s = 0, 0.0  # passages, and what they took
        self._wishes: dict[tuple[str | None, bytes], Wish] = {}
        self._current: tuple[Wish, Sequence] | None = None

    def __len__(self) -> int:
        """Passages that wait or are under way."""
        return len(self._wishes) + (self._current is not None)

    def add(self, segments: Run[Segment], terms: Terms) -> int:
        """Wish for the passages of a prompt, likeliest first; how many are neither kept nor wished for yet.

        Nothing is taken on where such KV may not be reused, or where passages stand behind nothing.
        """
        if not self.filler or terms.reuse is not Reuse.APPROXIMATE or terms.replayable:
            return 0
        if terms.namespace is None or not segments or segments[0].chunk:
            return 0
        epoch = self.filler.cache.newest_epoch() if terms.epoch is None else terms.epoch
        wishes = [Wish(segments[0], one, replace(terms, epoch=epoch)) for one in segments[1:] if one.chunk]
        fresh = {wish.key: wish for wish in wishes if self._is_new(wish, self.filler)}
        # The newest question says most about the next one.
        self._wishes = dict(list((fresh | self._wishes).items())[:MOST_WAITING])
        return len(fresh)

    def step(self) -> None:
        """Compute one piece of what is wished for, if there is anything."""
        if not self.filler or not len(self):
            return
        begin = time.process_time()
        self._give_up_the_revoked(self.filler.cache.newest_epoch())
        try:
            if self._current is None:
                self._begin(self.filler)
            if self._current is not None:
                self._compute(self._current[1])
        except RagError as error:
            print(f"a passage could not be warmed: {error}", file=sys.stderr)
            self._leave()
        self.cpu_s += time.process_time() - begin

    def stop(self) -> None:
        """Somebody wants to be served: leave the slot. What was begun is begun anew later."""
        if self._current:
            wish = self._current[0]
            self._wishes = {wish.key: wish} | self._wishes
            self._leave()

    def _is_new(self, wish: Wish, filler: Filler) -> bool:
        size = len(wish.prefix.tokens) + len(wish.passage.tokens)
        fits = (
            size < self.model.context and size * filler.cache.shape.token_bytes <= filler.cache.memory_bytes
        )
        known = wish.key in self._wishes or (self._current and self._current[0].key == wish.key)
        return fits and not known and not filler.has(wish.request())

    def _give_up_the_revoked(self, epoch: str) -> None:
        self._wishes = {key: wish for key, wish in self._wishes.items() if wish.terms.epoch == epoch}
        if self._current and self._current[0].terms.epoch != epoch:
            self._leave()

    def _begin(self, filler: Filler) -> None:
        while self._wishes:
            wish = self._wishes.pop(next(iter(self._wishes)))
            request = wish.request()
            request.fill = filler.warm(request)
            request.resume()
            if request.span:  # else somebody's answer brought it meanwhile
                self._current = wish, request
                return

    def _compute(self, request: Sequence) -> None:
        share = request.piece(PIECE)
        self.model.decode([share])
        request.computed += len(share.tokens)
        if not request.missing:
            request.resume()
        if request.span is None:
            self.computed += 1
            self._leave()

    def _leave(self) -> None:
        self._current = None
        self.model.trim(SLOT, 0)
