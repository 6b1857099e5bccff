"""Tables of users, groups, keys, sessions, tenants and the audit chain."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from rag.store.tables import Big, metadata

# What a tenant may use where that differs from the settings of [limits]; null: as there.
tenants = Table(
    "tenants",
    metadata,
    Column("name", String, primary_key=True),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("documents", Big),
    Column("bytes", Big),
)

# `sign_in`: "key" for those who show keys only, "oidc" for those whom a provider or SCIM vouches for.
users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("sign_in", String, nullable=False),
    Column("external_id", String, nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("suspended_at", Float),
    UniqueConstraint("tenant", "name"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("external_id", String, nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("tenant", "name"),
)

members = Table(
    "members",
    metadata,
    Column("group_id", String, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# The id is the public prefix. `rights`, `groups`, `collections`: what it is limited to; null: not limited.
keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("rights", JSON),
    Column("groups", JSON),
    Column("collections", JSON),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("used_at", Float),
    Column("revoked_at", Float),
)

# `groups` and `roles` are what the provider said at the sign-in; null roles: it says nothing about them.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("groups", JSON, nullable=False),
    Column("roles", JSON),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)

# Each row carries the digest over itself and the row before. Nothing is ever changed or deleted here.
audit = Table(
    "audit",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("tenant", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("key", String, nullable=False),
    Column("action", String, nullable=False),
    Column("object", Text, nullable=False),
    Column("outcome", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("digest", String, nullable=False),
)
