"""The facade: open a ticket before the work, settle it after. Everything else here is upkeep.

    with accountant.open(principal, request_id=..., tier="small", prompt_tokens=900, max_tokens=96) as ticket:
        ...
        charge = ticket.settle(Work(...), model=...)

Both are synchronous: one short transaction each.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial, reduce
from math import inf
from typing import Any

from rag.cost.budget import Account, Amounts, Budget
from rag.cost.budgets import Budgets
from rag.cost.closing import Closing
from rag.cost.energy import EnergySource, best, model_band
from rag.cost.energy_log import EnergyLog
from rag.cost.energy_sources import sources
from rag.cost.entries import decided, opened, refused
from rag.cost.estimate import Estimate, Estimator
from rag.cost.guardrail import Decision, Plan, decide
from rag.cost.ledger import Ending, Entry, Kind, Ledger
from rag.cost.load import Load
from rag.cost.meter import Charge, Work, charge
from rag.cost.prices import Price
from rag.cost.rates import exchange, rates_of
from rag.cost.refusal import refusal
from rag.cost.reservations import Reservations
from rag.cost.steering import Steering
from rag.cost.ticket import CpuShare, Ticket
from rag.cost.usage import By, UsageLine, usage
from rag.errors import BudgetExceeded, SettingsError
from rag.settings import Settings
from rag.store.database import Database
from rag.types import Principal


def free(_tier: str) -> Price | None:
    """No tier pays anybody."""
    return None


class Accountant:
    """The books of one home. `price_of`: the price per token of a tier that others run, None for our own; it
    raises PriceUnavailable when that is missing or old. Raises SettingsError for another currency than
    before."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        price_of: Callable[[str], Price | None] = free,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database, self.settings, self.clock = database, settings, clock
        self.rates = rates_of(settings.hardware, settings.cost)
        self.band = model_band()
        self.ledger = Ledger(database, settings.home, clock=clock)
        self._check_currency()
        self.budgets, self.reservations = Budgets(database, clock=clock), Reservations(database, clock=clock)
        self.budgets.declare(map(Budget.of, settings.budgets))
        self.closing = Closing(self.ledger, self.rates, self.band)
        rate = partial(exchange, cost=settings.cost)
        self.estimator = Estimator(database, self.rates, price_of=price_of, exchange=rate)
        self.cpu, self.waiting = CpuShare(), set[Ticket]()
        self._open: dict[str, Ticket] = {}
        self._lock = threading.Lock()
        # Threads that wait here go on at once; those that wait for SQLite's lock sleep and try again.
        self._turn = threading.Lock()
        self._load = Load(database, clock)
        self._steering = Steering(self.budgets, self.ledger)
        self._log: EnergyLog | None = None
        self._looked = self._closed = False
        self.sweep()

    def open(
        self,
        principal: Principal,
        *,
        tier: str,
        request_id: str = "",
        collection: str | None = None,
        prompt_tokens: int = 0,
        max_tokens: int = 0,
        passages: int = 0,
        passage_tokens: int = 0,
        smaller: Sequence[str] = (),
        can_wait: bool = False,
        most: float = 0.0,
        kind: Kind = Kind.REQUEST,
    ) -> Ticket:
        """Reserve the worst case of a request, or of the nearest to it that fits (`ticket.decision`).

        `passage_tokens` of the prompt are `passages` that may be left out; `smaller`: tiers that may serve
        instead by gate and egress, dearest first; `most`: what the caller would pay, below the cap of all.
        Raises BudgetExceeded with the estimate when nothing fits, PriceUnavailable.
        """
        self._close_days()
        asked = Plan(tier, prompt_tokens, max_tokens, passages, passage_tokens)
        cap = min(filter(None, (most, self.settings.cost.max_per_query)), default=0.0)
        mark, at, ticket = self.cpu.join(), self.clock(), None
        try:
            estimate = cache(partial(self.estimator.estimate, principal.tenant))
            estimate(asked)  # what it learns from the ledger is read before the write lock is taken
            with self._turn, self.database.writing() as connection:
                accounts = self.budgets.applicable(connection, principal, collection)
                decision = self._decide(
                    asked, accounts, estimate, cap=cap, smaller=smaller, can_wait=can_wait
                )
                entry = {"kind": kind, **self._entry(principal, request_id, collection, decision, at)}
                if decision.is_allowed:
                    worst = decision.estimate.most
                    held = self.reservations.reserve(connection, secrets.token_hex(8), accounts, worst, entry)
                    assert held is not None  # decided within the same transaction
                    ticket = Ticket(self, held, decision, principal.tenant, mark, cap, warnings(accounts))
                    ticket.estimates[decision.plan.tier] = decision.estimate
                else:
                    self.ledger.append(connection, refused(entry, decision, at))
        finally:
            if ticket is None:
                self.cpu.leave(mark)
        if ticket is None:
            raise BudgetExceeded(
                refusal(decision, accounts, cap, self.rates.currency), reason=str(decision.step)
            )
        with self._lock:
            self._open[ticket.held.id] = ticket
        return ticket

    def rise(self, ticket: Ticket, plan: Plan, principal: Principal, collection: str | None) -> None:
        """Reserve the worst case of another tier too. Raises BudgetExceeded, also for the cap of the request,
        and PriceUnavailable."""
        found = self.estimator.estimate(principal.tenant, plan)
        whole = ticket.decision.estimate + found
        if ticket.cap and whole.most.money > ticket.cap:
            told = f"two tiers would cost at most {whole.most.money:.2g} {self.rates.currency}"
            raise BudgetExceeded(f"{told}, this request may cost {ticket.cap:g}")
        with self._turn, self.database.writing() as connection:
            accounts = self.budgets.applicable(connection, principal, collection)
            held = self.reservations.extend(
                connection, ticket.held, accounts, found.most, external=found.external_most
            )
        ticket.held, ticket.decision = held, replace(ticket.decision, estimate=whole)
        ticket.estimates[plan.tier] = found

    def narrow(self, ticket: Ticket, plan: Plan) -> None:
        """Estimate a tier once more, its prompt being packed (0 tokens: none is sent after all), and hold no
        more than the most of that. It never becomes more: for that the budgets are asked (`rise`)."""
        if (before := ticket.estimates.get(plan.tier)) is None or ticket.charge:
            return
        found = self.estimator.estimate(ticket.tenant, plan, packed=True).within(before)
        if not plan.prompt_tokens:
            # It is over in a moment: what is held is let go when it is settled.
            found = replace(found, most=before.most, external_most=before.external_most)
        ticket.estimates[plan.tier], ticket.packed[plan.tier] = found, plan
        whole = reduce(Estimate.__add__, ticket.estimates.values())
        if plan.prompt_tokens and ticket.held.holds:
            with self._turn, self.database.writing() as connection:
                ticket.held = self.reservations.lower(connection, ticket.held, whole.most)
        ticket.decision = replace(ticket.decision, estimate=whole)

    def settle(
        self, ticket: Ticket, *, outcome: Ending, tier: str, model: str, details: Mapping[str, Any]
    ) -> Charge:
        """Book a ticket; use Ticket.settle. Each tier that worked has a row, the last has the outcome."""
        with self._lock:
            is_first = self._open.pop(ticket.held.id, None) is not None
            self.waiting.discard(ticket)
        # A second try, after the database failed the first, has nothing to add.
        own = Work(cpu_s=self.cpu.leave(ticket.mark) if is_first else 0.0)
        ticket.work[tier] = ticket.work.pop(tier, Work()) + own  # the last one
        whole_work = sum(ticket.work.values(), Work())
        if is_first:
            self._load.add(whole_work.busy_s(self.rates.cores))
        use = self.utilisation()
        made = {
            name: charge(work, self.rates, utilisation=use, band=self.band)
            for name, work in ticket.work.items()
        }
        whole = charge(whole_work, self.rates, utilisation=use, band=self.band)
        used = Amounts(whole.booked, whole.energy_wh, whole.co2e_g, whole.busy_s)
        now = time.monotonic()
        measured = {"monotonic": now, "seconds": now - ticket.opened, "grid_g_kwh": self.rates.grid_g_kwh}
        shared = {**details, **decided(ticket), **measured}
        with self._turn, self.database.writing() as connection:
            settled = self.reservations.settle(connection, ticket.held, used)
            for name, work in ticket.work.items():
                last = name == tier
                row = Entry(
                    **{**opened(settled.entry), "at": self.clock(), "tier": name},
                    model=(model if last else "") or ticket.models.get(name, ""),
                    outcome=outcome if last else Ending.ESCALATED,
                    work=work,
                    charge=made[name],
                    details={**shared, "budgets": settled.balances},
                )
                self.ledger.append(connection, row)
        if outcome in (Ending.OK, Ending.DEGRADED):
            for name, work in ticket.work.items():
                planned = ticket.plan if name == ticket.plan.tier else None
                self.estimator.learn(ticket.tenant, name, work, planned, ticket.packed.get(name))
        warned = (*ticket.warnings, *settled.warnings)
        return replace(whole, warnings=warned, estimate=ticket.decision.estimate)

    def book_ingestion(
        self, principal: Principal, work: Work, *, job: str, collection: str, details: Mapping[str, Any]
    ) -> Charge:
        """Book the work of a run of ingestion, or of a part of it: it takes machine time as requests do."""
        self._load.add(work.busy_s(self.rates.cores))
        made = charge(work, self.rates, utilisation=self.utilisation(), band=self.band)
        row = Entry(
            Kind.INGESTION,
            self.clock(),
            request_id=job,
            tenant=principal.tenant,
            user=self.ledger.pseudonym(principal),
            key=principal.key,
            collection=collection,
            tier="ingest",
            outcome=Ending.OK,
            work=work,
            charge=made,
            details=details,
        )
        with self.database.writing() as connection:
            self.ledger.append(connection, row)
        return made

    def usage(
        self, principal: Principal | None, *, since: float = 0.0, until: float = inf, by: By | None = None
    ) -> tuple[UsageLine, ...]:
        """What one user booked, or everybody (None). Who may ask for whom is the caller's to decide."""
        if principal is None:
            return usage(self.database, since=since, until=until, by=by)
        user = self.ledger.pseudonym(principal)
        return usage(self.database, since=since, until=until, by=by, tenant=principal.tenant, user=user)

    def utilisation(self) -> float:
        """Busy over provisioned seconds of the last 24 hours, of which the ledger may be younger."""
        return self._load.share()

    def tick(self) -> None:
        """Upkeep, every ten seconds or so: read the energy meter, renew leases, close days that are over, and
        note how far the ledger is."""
        if not self._looked:
            self._looked = True
            source: EnergySource | None = best(sources(self.settings.hardware))
            self._log = EnergyLog(self.database, source, clock=self.clock) if source else None
        if self._log:
            self._log.sample()
        with self._lock:
            under_way = list(self._open)
        if under_way:
            self.reservations.renew(under_way)
        self.sweep()
        self.closing.close_days(self.clock())
        self.ledger.remember()

    def sweep(self) -> int:
        """Book requests of dead processes as interrupted and free what they held; how many there were.

        What they took is not known: the machine's part stays with the idle time, others' money counts whole.
        """
        with self.database.reading() as connection:
            if not self.reservations.abandoned(connection):
                return 0
        with self.database.writing() as connection:
            left = self.reservations.abandoned(connection)
            for held in left:
                made = charge(Work(external=held.entry["external_most"]), self.rates, band=self.band)
                self.reservations.settle(connection, held, Amounts(money=made.booked))
                row = Entry(
                    **opened(held.entry),
                    outcome=Ending.INTERRUPTED,
                    charge=made,
                    details={"work": "not known"},
                )
                self.ledger.append(connection, replace(row, at=self.clock()))
        return len(left)

    def set_budget(self, principal: Principal, budget: Budget) -> None:
        """Set a budget, which the ledger records. Raises Forbidden, NotFound (of another tenant)."""
        self._steering.set_budget(principal, budget)

    def remove_budget(self, principal: Principal, budget_id: str) -> None:
        """Remove a budget, which the ledger records. Raises Forbidden, NotFound."""
        self._steering.remove_budget(principal, budget_id)

    def override(
        self, principal: Principal, budget_id: str, *, extra: float, until: float, reason: str
    ) -> None:
        """Allow more until a moment, for a reason; the ledger has all of it. Raises Forbidden, NotFound,
        BadRequest without a reason or an end in the future."""
        self._steering.override(principal, budget_id, extra=extra, until=until, reason=reason)

    def _close_days(self) -> None:
        """Close the days before the first work of this process: where no server runs, nobody else does.
        A report closes none: who only looks may do so with another rag.toml, and rows are for good."""
        if not self._closed:
            self._closed = True
            self.closing.close_days(self.clock())

    def _check_currency(self) -> None:
        """Raises SettingsError where money was counted in another currency: sums over both mean nothing."""
        with self.database.reading() as connection:
            counted = self.ledger.currency(connection)
        if counted not in ("", self.rates.currency):
            raise SettingsError(
                f"cost.currency is {self.rates.currency!r}, and this home counts in {counted!r}: "
                "set it back, or begin another home"
            )

    def _decide(
        self,
        asked: Plan,
        accounts: Sequence[Account],
        estimate: Callable[[Plan], Estimate],
        *,
        cap: float,
        smaller: Sequence[str],
        can_wait: bool,
    ) -> Decision:
        cost = self.settings.cost
        return decide(
            asked,
            accounts,
            estimate,
            cap=cap,
            ladder=cost.ladder,
            smaller=smaller,
            can_wait=can_wait,
        )

    def _entry(
        self, principal: Principal, request_id: str, collection: str | None, decision: Decision, at: float
    ) -> dict[str, Any]:
        """What is known of a request when it opens."""
        return {
            "at": at,
            "request_id": request_id,
            "tenant": principal.tenant,
            "user": self.ledger.pseudonym(principal),
            "key": principal.key,
            "collection": collection or "",
            "tier": decision.plan.tier,
            "external_most": decision.estimate.external_most,
        }


def warnings(accounts: Sequence[Account]) -> tuple[str, ...]:
    """What the reader is told of budgets that are nearly spent."""
    return tuple(
        f"{each.used:.0%} of budget {each.budget.id} is spent"
        for each in accounts
        if each.used >= each.budget.soft
    )
