"""Who waits, and whose turn is next: people before batch work, and the users of each in fair shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from rag.engine.sequence import Sequence
from rag.errors import Overloaded


class WaitingLine:
    """A bounded queue. Within a priority, the user who was given the fewest tokens so far comes first.

    That is start-time fair queueing (Goyal, Vin, Chen 1996): a user who was away does not save up credit.
    """

    def __init__(self, *, max_requests: int, max_tokens: int) -> None:
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self._waiting: list[Sequence] = []
        self._served: dict[str, int] = defaultdict(int)
        self._now = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        """In the order in which they would be served now."""
        return iter(sorted(self._waiting, key=self._rank))

    @property
    def tokens(self) -> int:
        """Prompt tokens that wait."""
        return sum(len(sequence.prompt) for sequence in self._waiting)

    def put(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises Overloaded that says what is full."""
        waiting, tokens = len(self._waiting), self.tokens
        if waiting >= self.max_requests:
            raise Overloaded(
                f"{waiting} requests wait already (at most {self.max_requests}: engine.max_queue); "
                "try again soon"
            )
        if waiting and tokens + len(sequence.prompt) > self.max_tokens:
            raise Overloaded(
                f"prompts of {tokens} tokens wait already (at most {self.max_tokens}: "
                "engine.max_queue_tokens); try again soon"
            )
        user = sequence.terms.user
        mine = sum(other.terms.user == user for other in self._waiting)
        if user and mine >= max(1, self.max_requests // 2):
            raise Overloaded(f"{mine} requests of this user wait already; half of the queue is for others")
        if not mine:
            self._served[user] = max(self._served[user], self._now)
        self._waiting.append(sequence)

    def take(self, sequence: Sequence) -> None:
        """Its turn has come: what it may cost is charged to its user."""
        self._waiting.remove(sequence)
        user = sequence.terms.user
        self._now = max(self._now, self._served[user])
        self._served[user] += sequence.cells
        # Who was given less than the present turn starts from it like a newcomer, so need not be remembered.
        self._served = defaultdict(int, {one: got for one, got in self._served.items() if got > self._now})

    def remove(self, sequence: Sequence) -> None:
        """It went away without having been served."""
        self._waiting.remove(sequence)

    def _rank(self, sequence: Sequence) -> tuple[bool, int]:
        return sequence.is_batch_work, self._served[sequence.terms.user]
