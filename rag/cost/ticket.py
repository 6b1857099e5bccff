"""One request on the books: opened with a reservation, fed with the work as it is done, settled once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rag.cost.estimate import Estimate
from rag.cost.guardrail import Decision, Plan
from rag.cost.ledger import Ending
from rag.cost.meter import Charge, Work
from rag.cost.rates import exchange
from rag.cost.reservations import Reservation
from rag.errors import Cancelled, RagError

if TYPE_CHECKING:
    from rag.cost.accountant import Accountant


class Sender(Protocol):
    """What sends text away and pays for it; its receipt is true at any moment, None if nothing left."""

    @property
    def receipt(self) -> Any:
        """A dataclass with `amount` and `currency`, or None."""
        ...


class CpuShare:
    """The CPU-seconds of this process, divided among the requests that are open while they pass.

    Each gets its even part, so all of them together never get more than was used.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._open, self._each, self._last = 0, 0.0, clock()

    def join(self) -> float:
        """Another request opens; a mark to give back when it leaves."""
        with self._lock:
            self._accrue()
            self._open += 1
            return self._each

    def leave(self, mark: float) -> float:
        """A request closes; its CPU-seconds."""
        with self._lock:
            self._accrue()
            self._open -= 1
            return self._each - mark

    def _accrue(self) -> None:
        now = self._clock()
        if self._open:
            self._each += (now - self._last) / self._open
        self._last = now


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that may be served as `decision.plan` says. Use it as a context manager, or settle it.

    `warnings`: soft limits that are behind us; `cap`: the most it may cost, 0 for any. `estimates`: what is
    held for each tier; `packed`: the prompts that were put together since; `models`: who worked, by tier.
    What was not settled at the end of the block is booked as interrupted (the caller went away) or error,
    with the work so far.
    """

    accountant: Accountant
    held: Reservation
    decision: Decision
    tenant: str
    mark: float
    cap: float = 0.0
    warnings: tuple[str, ...] = ()
    opened: float = field(default_factory=time.monotonic)
    charge: Charge | None = None
    work: dict[str, Work] = field(default_factory=dict)
    senders: list[tuple[str, Sender]] = field(default_factory=list)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    packed: dict[str, Plan] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    _engine_since: float = 0.0

    @property
    def plan(self) -> Plan:
        """What may be done."""
        return self.decision.plan

    def add(self, work: Work, *, tier: str = "", model: str = "") -> None:
        """Note work that was done, by the tier that did it, and by which model."""
        tier = tier or self.plan.tier
        if model:
            self.models[tier] = model
        self.work[tier] = self.work.get(tier, Work()) + work
        if work.decode_s or work.prefill_s:
            self._stop_waiting()

    def generating(self) -> None:
        """From now on an engine works for this request; what it took is told at its end only.

        Should that never come, the time until then counts, divided among all who wait like this.
        """
        self._engine_since = self._engine_since or time.monotonic()
        self.accountant.waiting.add(self)

    def sending(self, sender: Sender, *, tier: str) -> None:
        """What this sender sends away and pays is on the books from now on, however the request ends."""
        self.senders.append((tier, sender))

    def settle(
        self,
        work: Work = Work(),  # noqa: B008 (frozen)
        *,
        outcome: Ending = Ending.OK,
        tier: str = "",
        model: str = "",
        route: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Charge:
        """Book it: what it took goes to the ledger and off the budgets, the rest of the hold is let go.

        `route`: why this tier, and which others there were; `facts`: digest, quantisation and build of the
        model. A second call changes nothing.
        """
        if self.charge is None:
            if work != Work():
                self.add(work, tier=tier)
            if self.decision.step != "as_asked" and outcome is Ending.OK:
                outcome = Ending.DEGRADED
            told = {"route": route, "model": facts}
            self._book(outcome, tier, model, {name: value for name, value in told.items() if value})
        assert self.charge is not None
        return self.charge

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.charge is not None:
            return
        if self._engine_since:
            among = len(self.accountant.waiting)
            self.add(Work(decode_s=(time.monotonic() - self._engine_since) / max(1, among)))
        # A caller that goes away shows as CancelledError or GeneratorExit, neither of which is an Exception.
        left = error is None or isinstance(error, Cancelled) or not isinstance(error, Exception)
        told = {"error": error.code if isinstance(error, RagError) else type(error).__name__} if error else {}
        outcome = Ending.INTERRUPTED if left else Ending.ERROR
        self._book(outcome, "", "", told)

    def _book(self, outcome: Ending, tier: str, model: str, details: Mapping[str, Any]) -> None:
        receipts = [(sent_by, each.receipt) for sent_by, each in self.senders if each.receipt]
        self.senders = []
        for sent_by, receipt in receipts:
            rate = exchange(receipt.currency, self.accountant.settings.cost)
            self.add(Work(external=receipt.amount * rate), tier=sent_by)
        egress = {"egress": {"receipts": [asdict(each) for _, each in receipts]}} if receipts else {}
        self.charge = self.accountant.settle(
            self, outcome=outcome, tier=tier or self.plan.tier, model=model, details={**details, **egress}
        )

    def _stop_waiting(self) -> None:
        self._engine_since = 0.0
        self.accountant.waiting.discard(self)
