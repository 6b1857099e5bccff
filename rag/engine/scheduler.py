"""Who computes what in the next step, and which KV cells it may use. Pure decisions: no compute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile

from rag.engine.sequence import Copy, Move, Sequence, Share, Trim
from rag.errors import BadRequest, ContextTooLong, Overloaded

# While somebody reads along, a step stays short; below 64 tokens llama.cpp's matrix kernels lose their speed.
MIXED_PREFILL_TOKENS = 128


@dataclass(eq=False, slots=True)
class Slot:
    """A sequence id of the model: busy with a sequence, or idle and keeping the tokens of its last one."""

    number: int
    sequence: Sequence | None = None
    resident: list[int] = field(default_factory=list)
    namespace: str | None = None
    used: int = 0

    @property
    def tokens(self) -> list[int]:
        """The tokens whose KV it holds now."""
        return self.sequence.known[: self.sequence.computed] if self.sequence else self.resident

    @property
    def cells(self) -> int:
        return self.sequence.cells if self.sequence else len(self.resident)


class Scheduler:
    """Continuous batching: decode first, then pieces of prompts in turn; cells are reserved on admission.

    `cells` are shared by all sequences, `context` bounds one of them, `resident` bounds what idle slots keep.
    """

    def __init__(
        self,
        *,
        cells: int,
        context: int,
        slots: int,
        batch_tokens: int,
        max_queue: int,
        resident: int | None = None,
    ) -> None:
        self.cells, self.context = cells, min(context, cells)
        self.batch_tokens, self.max_queue = batch_tokens, max_queue
        # Attention on CPU runs over every cell up to the highest used one: idle tokens slow all decoding.
        self.resident = cells // 4 if resident is None else resident
        self.slots = [Slot(number) for number in range(slots)]
        self.waiting: deque[Sequence] = deque()
        self.running: deque[Sequence] = deque()
        self._clock = 0

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.running

    def check(self, prompt_tokens: int, max_tokens: int) -> None:
        """Refuse what can never run. Raises ContextTooLong or BadRequest."""
        if prompt_tokens < 1 or max_tokens < 1:
            raise BadRequest(
                f"prompt of {prompt_tokens} tokens, max_tokens {max_tokens}: both must be at least 1"
            )
        if prompt_tokens + max_tokens > self.context:
            room = self.context - prompt_tokens
            fix = f"shorten it, or lower max_tokens to {room}" if room > 0 else "shorten it"
            raise ContextTooLong(
                f"the prompt has {prompt_tokens} tokens and may grow by {max_tokens} (max_tokens), "
                f"but the context holds {self.context}; {fix}"
            )

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ContextTooLong, BadRequest, or Overloaded when the queue is full."""
        self.check(len(sequence.prompt), sequence.max_tokens)
        queued = sum(len(waiting.prompt) for waiting in self.waiting)
        if len(self.waiting) >= self.max_queue or queued > self.max_queue * self.context:
            raise Overloaded(
                f"{len(self.waiting)} requests wait already (at most {self.max_queue}); try again soon"
            )
        self.waiting.append(sequence)

    def admit(self) -> list[Move]:
        """Give slots to waiting sequences while cells last. The caller makes the moves, in order."""
        moves: list[Move] = []
        while self.waiting and self._fits(self.waiting[0]):
            sequence = self.waiting.popleft()
            moves += self._place(sequence)
            self.running.append(sequence)
        return moves

    def plan(self) -> list[Share]:
        """The next step: at most `batch_tokens`, every decoding sequence before any prompt."""
        shares: list[Share] = []
        budget = self.batch_tokens
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        # With as many readers as the batch holds, a prompt still gets one token of every step.
        for sequence in decoding[: budget - (len(decoding) < len(self.running))]:
            shares.append(sequence.share(1))
            self._to_the_back(sequence)
        # Decode first: a token for a waiting reader beats a faster prompt for a new one.
        budget = min(budget - len(shares), MIXED_PREFILL_TOKENS) if shares else budget
        for sequence in [sequence for sequence in self.running if not sequence.is_decoding]:
            if budget < 1:
                break
            share = sequence.share(budget)
            shares.append(share)
            budget -= len(share.tokens)
            self._to_the_back(sequence)
        return shares

    def advance(self, share: Share) -> Sequence:
        """Note that a share was computed; returns its sequence."""
        sequence = self.slots[share.slot].sequence
        assert sequence is not None
        sequence.computed += len(share.tokens)
        return sequence

    def release(self, sequence: Sequence, *, keep: bool = True) -> list[Move]:
        """Take a sequence out, wherever it is; `keep` its KV for the next one of its namespace."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return []
        self.running.remove(sequence)
        slot = self.slots[sequence.slot]
        slot.resident = slot.tokens if keep and sequence.namespace is not None else []
        slot.namespace, slot.sequence, slot.used = sequence.namespace, None, self._tick()
        # The trim also takes away what a failed step may have left behind.
        return [Trim(slot.number, len(slot.resident)), *self._evict(self.resident)]

    def _fits(self, sequence: Sequence) -> bool:
        busy = sum(slot.cells for slot in self.slots if slot.sequence)
        return any(slot.sequence is None for slot in self.slots) and busy + sequence.cells <= self.cells

    def _place(self, sequence: Sequence) -> list[Move]:
        source, common = self._longest_prefix(sequence)
        idle = [slot for slot in self.slots if slot.sequence is None]
        target = min(idle, key=lambda slot: (slot is source, bool(slot.resident), slot.used))
        # A slot that would lose little by the trim is taken over; a long one stays for others and is shared.
        if source in idle and 2 * common >= len(source.resident):
            target = source
        moves: list[Move] = [Trim(target.number, common if target is source else 0)]
        if common and target is not source:
            moves.append(Copy(source.number, target.number, common))
        target.sequence, target.resident, target.used = sequence, [], self._tick()
        sequence.slot, sequence.computed, sequence.cached = target.number, common, common
        busy = sum(slot.cells for slot in self.slots if slot.sequence)
        return moves + self._evict(self.cells - busy)

    def _longest_prefix(self, sequence: Sequence) -> tuple[Slot, int]:
        # The last token of a prompt is always computed: its logits are the answer's beginning.
        best, longest = self.slots[0], 0
        if sequence.namespace is None:
            return best, 0
        for slot in self.slots:
            if (slot.sequence.namespace if slot.sequence else slot.namespace) != sequence.namespace:
                continue
            common = common_prefix(slot.tokens, sequence.prompt[:-1])
            if common > longest:
                best, longest = slot, common
        return best, longest

    def _evict(self, limit: int) -> list[Move]:
        """Empty idle slots, least recently used first, until they keep at most `limit` cells together."""
        moves: list[Move] = []
        keeping = sorted((slot for slot in self.slots if slot.resident), key=lambda slot: slot.used)
        total = sum(len(slot.resident) for slot in keeping)
        for slot in keeping:
            if total <= limit:
                break
            total -= len(slot.resident)
            slot.resident = []
            moves.append(Trim(slot.number, 0))
        return moves

    def _to_the_back(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.running.append(sequence)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def common_prefix(left: list[int], right: list[int]) -> int:
    """How many tokens two lists begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
