"""Who computes what in the next step, and in which slot. Pure decisions: no compute."""

from __future__ import annotations

from dataclasses import dataclass

from rag.engine.pacing import Pace
from rag.engine.queue import WaitingLine
from rag.engine.sequence import Sequence, Share, common_prefix
from rag.errors import BadRequest, ContextTooLong

# Below 64 tokens llama.cpp's matrix kernels lose speed; half of that is the least a prompt gets beside
# readers.
LEAST_PIECE = 32
# The pieces of a replayable prompt never depend on the load, so that its arithmetic does not either.
REPLAY_PIECE = 128
# A prompt that was passed over this often comes before shorter ones.
PATIENCE = 3
# So much more must be gained by waiting for another's prompt that begins alike.
WORTH_WAITING = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that never change while an engine lives. `context`: positions of one slot."""

    slots: int
    context: int
    micro_batch: int
    step_target_ms: float


class Scheduler:
    """Continuous batching: decode first, then as much of a prompt as keeps the step within its target."""

    def __init__(self, limits: Limits, line: WaitingLine, pace: Pace) -> None:
        self.limits, self.line, self.pace = limits, line, pace
        self.running: list[Sequence] = []

    @property
    def is_idle(self) -> bool:
        return not self.line and not self.running

    def check(self, prompt_tokens: int, max_tokens: int) -> None:
        """Refuse what can never run. Raises ContextTooLong or BadRequest."""
        if prompt_tokens < 1 or max_tokens < 1:
            raise BadRequest(
                f"prompt of {prompt_tokens} tokens, max_tokens {max_tokens}: both must be at least 1"
            )
        context = self.limits.context
        if prompt_tokens + max_tokens > context:
            room = context - prompt_tokens
            fix = f"shorten it, or lower max_tokens to {room}" if room > 0 else "shorten it"
            raise ContextTooLong(
                f"the prompt has {prompt_tokens} tokens and may grow by {max_tokens} (max_tokens), "
                f"but the context holds {context}; {fix}"
            )

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ContextTooLong, BadRequest or Overloaded."""
        self.check(len(sequence.prompt), sequence.max_tokens)
        self.line.put(sequence)

    def admit(self) -> list[Sequence]:
        """Give free slots to those who wait; the lowest first, since neighbours share a pass over the
        weights."""
        admitted: list[Sequence] = []
        free = sorted(set(range(self.limits.slots)) - {sequence.slot for sequence in self.running})
        for sequence in self.line:
            if not free:
                break
            if self._somebody_computes_its_beginning(sequence):
                continue
            sequence.slot = free.pop(0)
            self.line.take(sequence)
            self.running.append(sequence)
            admitted.append(sequence)
        return admitted

    def gap(self) -> tuple[int, int] | None:
        """A slot to move into a lower free one: what is computed together must lie side by side."""
        used = sorted(sequence.slot for sequence in self.running)
        if self.line or not used or used[-1] - used[0] + 1 == len(used):
            return None
        return used[-1], next(slot for slot in range(used[0], used[-1]) if slot not in used)

    def plan(self) -> list[Share]:
        """The next step: every reader's token, a piece of a prompt, and short prompts that fit beside it."""
        decoding = [sequence for sequence in self.running if sequence.is_decoding]
        shares = [sequence.turn() for sequence in decoding]
        tokens = sum(len(share.tokens) for share in shares)
        most = self.limits.micro_batch
        # Decode first: a token for a waiting reader beats a faster prompt for a new one.
        if decoding:
            target = self.limits.step_target_ms
            budget = self.pace.piece(tokens, target_ms=target, least=LEAST_PIECE, most=most)
        else:
            budget = most
        return shares + self._pieces(budget, beside_readers=bool(decoding))

    def release(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.line.remove(sequence)

    def _pieces(self, budget: int, *, beside_readers: bool) -> list[Share]:
        """Pieces of prompts, the one with the least left first: short questions pass long documents.

        Beside readers only whole ends of prompts follow the first piece: each other length is one more pass
        over the weights, which the end of a prompt is worth and a scrap of one is not.
        """
        prompts = sorted((sequence for sequence in self.running if sequence.span), key=_urgency)
        shares: list[Share] = []
        for sequence in prompts:
            if budget < 1 or (beside_readers and shares and sequence.missing > budget):
                sequence.skipped += 1
                continue
            sequence.skipped = 0
            limit = REPLAY_PIECE if sequence.terms.replayable else budget
            shares.append(sequence.piece(limit))
            budget -= len(shares[-1].tokens)
        return shares

    def _somebody_computes_its_beginning(self, newcomer: Sequence) -> bool:
        """Whether another prompt under way will leave behind more than the newcomer would find now."""
        namespace = newcomer.terms.namespace
        if namespace is None or newcomer.terms.replayable:
            return False
        for other in self.running:
            # Also one that has no span yet, or pauses between two.
            is_computing = not other.is_decoding and not other.terms.replayable
            if is_computing and other.terms.namespace == namespace:
                common = common_prefix(other.ids, newcomer.ids)
                if common >= other.computed + WORTH_WAITING:
                    return True
        return False


def _urgency(sequence: Sequence) -> tuple[bool, bool, int]:
    return sequence.is_batch_work, sequence.skipped < PATIENCE, sequence.missing
