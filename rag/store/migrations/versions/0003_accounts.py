"""Accounts: tenants, users, groups, keys, sessions, and the audit chain."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    add_people()
    add_keys()
    add_sessions()
    add_audit()


def required(name: str, kind: Any = sa.String) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def identity() -> tuple[sa.Column[Any], ...]:
    return sa.Column("id", sa.String, primary_key=True), required("tenant"), required("name")


def external_id() -> sa.Column[Any]:
    return sa.Column("external_id", sa.String, nullable=False, server_default="")


def belongs(name: str, table: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.String, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), **options)


def add_people() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.String, primary_key=True),
        *(sa.Column(name, sa.Integer) for name in ("requests_per_minute", "tokens_per_minute")),
        *(sa.Column(name, Big) for name in ("documents", "bytes")),
    )
    op.create_table(
        "users",
        *identity(),
        *(required(name) for name in ("role", "sign_in")),
        external_id(),
        required("created_at", sa.Float),
        sa.Column("suspended_at", sa.Float),
        sa.UniqueConstraint("tenant", "name"),
    )
    op.create_table(
        "groups",
        *identity(),
        external_id(),
        required("created_at", sa.Float),
        sa.UniqueConstraint("tenant", "name"),
    )
    op.create_table(
        "members",
        belongs("group_id", "groups", primary_key=True),
        belongs("user_id", "users", primary_key=True),
    )
    op.create_index("ix_members_user_id", "members", ["user_id"])


def add_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String, primary_key=True),
        belongs("user_id", "users", nullable=False),
        *(required(name) for name in ("name", "digest")),
        *(sa.Column(name, sa.JSON) for name in ("rights", "groups", "collections")),
        required("created_at", sa.Float),
        *(sa.Column(name, sa.Float) for name in ("expires_at", "used_at", "revoked_at")),
    )
    op.create_index("ix_keys_user_id", "keys", ["user_id"])


def add_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String, primary_key=True),
        belongs("user_id", "users", nullable=False),
        required("groups", sa.JSON),
        sa.Column("roles", sa.JSON),
        *(required(name, sa.Float) for name in ("created_at", "expires_at")),
    )
    for name in ("user_id", "expires_at"):
        op.create_index(f"ix_sessions_{name}", "sessions", [name])


def add_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", Big, primary_key=True, autoincrement=False),
        required("time", sa.Float),
        *(required(name) for name in ("tenant", "actor", "key", "action")),
        required("object", sa.Text),
        *(required(name) for name in ("outcome", "request_id", "digest")),
    )
