"""Money: the ledger, budgets and reservations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    add_ledger()
    add_budgets()
    add_energy()


def words(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, nullable=False) for name in names]


def texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def counts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, Big, nullable=False) for name in names]


def amounts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Float, nullable=False) for name in names]


def keys(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def add_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("seq", Big, primary_key=True, autoincrement=False),
        *amounts("at"),
        *words(
            "day", "kind", "request_id", "tenant", "user", "key", "collection", "tier", "model", "outcome"
        ),
        *counts("prompt_tokens", "cached_tokens", "completion_tokens"),
        *amounts("busy_s", "prefill_s", "decode_s"),
        *words("currency"),
        *amounts("depreciation", "energy", "opex", "external", "marginal", "energy_wh", "co2e_g"),
        *texts("details"),
        *words("previous", "hash"),
    )
    op.create_index("ix_ledger_at", "ledger", ["at"])
    op.create_index("ix_ledger_day", "ledger", ["day"])
    op.create_index("ledger_by_tier", "ledger", ["tenant", "tier", "seq"])


def add_budgets() -> None:
    op.create_table(
        "budgets",
        *keys("id"),
        *words("tenant", "scope", "subject", "period", "unit"),
        *counts("amount"),
        *amounts("soft"),
        *words("on_limit", "source"),
        sa.Column("extra", Big, nullable=False, server_default="0"),
        sa.Column("extra_until", sa.Float, nullable=False, server_default="0"),
    )
    op.create_index("ix_budgets_tenant", "budgets", ["tenant"])
    op.create_table(
        "balances",
        *keys("budget", "subject", "start"),
        *counts("spent", "reserved"),
        sa.Column("warned", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "reservations", *keys("id"), *words("worker"), *amounts("lease_until"), *texts("holds", "entry")
    )


def add_energy() -> None:
    op.create_table(
        "energy_readings", *keys("source", "machine"), *amounts("at"), *words("boot"), *texts("reading")
    )
    op.create_table(
        "energy_hours",
        sa.Column("hour", sa.Integer, primary_key=True),
        *keys("source", "machine"),
        *amounts("wh", "covered_s"),
    )
