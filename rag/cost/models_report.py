"""The models of a home over a stretch of time: who used them, what that cost, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from rag.cost.accountant import Accountant
from rag.cost.inventory import ModelLine, Use, gates_of, is_in_use, state_of, structure
from rag.cost.ledger import Head, Kind
from rag.cost.recommendations import Advice, advise
from rag.cost.report import CostReport, report
from rag.cost.tables import ledger
from rag.cost.usage import By, UsageLine, usage
from rag.models.lockfile import Entry, load_lock
from rag.models.shelf import Shelf

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class ModelsReport:
    """All models, the machine's load, what to do about it, and the head of the ledger it rests on. `others`:
    models that were used and are in no lock: somebody else's, or removed since."""

    start: float
    end: float
    currency: str
    utilisation: float
    idle_share: float
    profile: str
    models: tuple[ModelLine, ...]
    others: dict[str, Use]
    external_requests: int
    advice: tuple[Advice, ...]
    constants: str
    ledger_head: str


def models_report(accountant: Accountant, *, since: float = 0.0) -> ModelsReport:
    """The report of the time since then. Every file is read and its digest compared."""
    made, settings = report(accountant, since=since), accountant.settings
    used = {
        line.name: line for line in usage(accountant.database, since=made.start, until=made.end, by=By.MODEL)
    }
    own = Shelf(settings.home).entries()
    lock = load_lock(settings.home)
    lines = tuple(
        line_of(entry, used.get(name), made, accountant, added=name in own) for name, entry in lock.items()
    )
    others = {name: line for name, line in used.items() if name and name not in lock}
    profile = str(settings.answering.profile)
    days = (made.end - made.start) / DAY_S
    with accountant.database.reading() as connection:
        head: Head = accountant.ledger.head(connection)
        rows = ledger.c
        paid = (rows.kind == Kind.REQUEST, rows.external > 0, rows.at >= made.start, rows.at < made.end)
        outside = connection.execute(select(func.count()).where(*paid)).scalar_one()
    return ModelsReport(
        start=made.start,
        end=made.end,
        currency=made.currency,
        utilisation=made.utilisation,
        idle_share=made.idle.cost / made.cost if made.cost else 0.0,
        profile=profile,
        models=lines,
        others={name: use_of(name, line, made, accountant) for name, line in others.items()},
        external_requests=outside,
        advice=advise(lines, profile=profile, utilisation=made.utilisation, days=days),
        constants=made.rates.constants,
        ledger_head=str(head),
    )


def line_of(
    entry: Entry, used: UsageLine | None, made: CostReport, accountant: Accountant, *, added: bool
) -> ModelLine:
    """What is known of one model."""
    settings = accountant.settings
    state, path = state_of(entry, settings.home)
    architecture, parameters = structure(path) if path and path.suffix == ".gguf" else ("", 0)
    return ModelLine(
        name=entry.name,
        kind=entry.kind,
        file=entry.file,
        sha256=entry.sha256,
        size_bytes=entry.size,
        quantisation=entry.quantisation,
        licence=entry.licence,
        source=entry.source,
        added=added,
        in_use=is_in_use(entry, settings),
        state=state,
        architecture=architecture,
        parameters=parameters,
        gates=gates_of(entry, settings) if path and entry.kind == "generator" else (),
        use=use_of(entry.name, used, made, accountant) if used else None,
    )


def use_of(name: str, used: UsageLine, made: CostReport, accountant: Accountant) -> Use:
    """What the ledger knows of a model; idle time is divided by busy time."""
    rows = ledger.c
    its = (rows.kind == Kind.REQUEST, rows.model == name, rows.at >= made.start, rows.at < made.end)
    with accountant.database.reading() as connection:
        first, last = connection.execute(select(func.min(rows.at), func.max(rows.at)).where(*its)).one()
        tenants = connection.execute(
            select(rows.tenant).where(*its).distinct().order_by(rows.tenant)
        ).scalars()
        known = tuple(tenants)
    part = used.busy_s / made.whole.busy_s if made.whole.busy_s else 0.0
    thousands = max(1, used.requests) / 1000
    return Use(
        requests=used.requests,
        first=first,
        last=last,
        tenants=known,
        completion_tokens=used.completion_tokens,
        busy_s=used.busy_s,
        booked_per_thousand=used.booked / thousands,
        loaded_per_thousand=(used.booked + part * made.idle.cost) / thousands,
        wh_per_thousand=(used.energy_wh + part * made.idle.energy_wh) / thousands,
        co2e_g_per_thousand=(used.co2e_g + part * made.idle.co2e_g) / thousands,
    )
