"""Tables of the ledger, budgets and reservations, and of what the energy meter showed."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text

from rag.store.tables import Big, metadata

# One row per request, one per closed period for its idle time, one for each change of a budget. Nothing is
# ever changed: `hash` covers the row and `previous`. Money in `currency`, energy at the machine. What no sum
# needs is in `details`, as canonical JSON.
ledger = Table(
    "ledger",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False, index=True),
    Column("day", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("key", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("tier", String, nullable=False),
    Column("model", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("prompt_tokens", Big, nullable=False),
    Column("cached_tokens", Big, nullable=False),
    Column("completion_tokens", Big, nullable=False),
    Column("busy_s", Float, nullable=False),
    Column("prefill_s", Float, nullable=False),
    Column("decode_s", Float, nullable=False),
    Column("currency", String, nullable=False),
    Column("depreciation", Float, nullable=False),
    Column("energy", Float, nullable=False),
    Column("opex", Float, nullable=False),
    Column("external", Float, nullable=False),
    Column("marginal", Float, nullable=False),
    Column("energy_wh", Float, nullable=False),
    Column("co2e_g", Float, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("ledger_by_tier", "tenant", "tier", "seq"),
)

# Amounts in billionths of the unit: whole numbers add up exactly, however many there are. `extra` until
# `extra_until` is what an override added.
budgets = Table(
    "budgets",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False, index=True),
    Column("scope", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("period", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("amount", Big, nullable=False),
    Column("soft", Float, nullable=False),
    Column("on_limit", String, nullable=False),
    Column("source", String, nullable=False),
    Column("extra", Big, nullable=False, server_default="0"),
    Column("extra_until", Float, nullable=False, server_default="0"),
)

# One per budget, subject and day or month.
balances = Table(
    "balances",
    metadata,
    Column("budget", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("start", String, primary_key=True),
    Column("spent", Big, nullable=False),
    Column("reserved", Big, nullable=False),
    Column("warned", Integer, nullable=False, server_default="0"),
)

# Requests under way. `holds`: what is reserved of which balance; `entry`: what the ledger will say of it.
reservations = Table(
    "reservations",
    metadata,
    Column("id", String, primary_key=True),
    Column("worker", String, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("holds", Text, nullable=False),
    Column("entry", Text, nullable=False),
)

# What each source of energy showed last, and what that made by the hour. `hour`: since 1970.
energy_readings = Table(
    "energy_readings",
    metadata,
    Column("source", String, primary_key=True),
    Column("machine", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("boot", String, nullable=False),
    Column("reading", Text, nullable=False),
)

energy_hours = Table(
    "energy_hours",
    metadata,
    Column("hour", Integer, primary_key=True),
    Column("source", String, primary_key=True),
    Column("machine", String, primary_key=True),
    Column("wh", Float, nullable=False),
    Column("covered_s", Float, nullable=False),
)
