"""Tables of conversations, feedback and remembered replies."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from rag.store.tables import metadata

# `share`: what the link of a shared one ends with. `updated_at`: its last question; retention counts from it.
conversations = Table(
    "conversations",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("share", String, unique=True),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False, index=True),
    Index("conversations_of_owner", "tenant", "owner", "updated_at"),
)

# `rag` of an answer names the places it rests on and holds none of their words; of a question it is null.
messages = Table(
    "messages",
    metadata,
    Column("id", String, primary_key=True),
    Column("conversation", String, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("role", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("rag", JSON),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("conversation", "place"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("message", String, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", String, nullable=False),
    Column("rating", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Index("feedback_of_tenant", "tenant", "created_at"),
)

# One request with an Idempotency-Key. `scope`: digest of who, where and the key. Without `status` it is still
# being answered, by `worker`, which is thought dead after `lease_until`. `epoch`: of the removals before it.
replies = Table(
    "replies",
    metadata,
    Column("scope", String, primary_key=True),
    Column("request", String, nullable=False),
    Column("epoch", String, nullable=False),
    Column("created_at", Float, nullable=False, index=True),
    Column("worker", String, nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("status", Integer),
    Column("headers", JSON),
    Column("body", LargeBinary),
)
