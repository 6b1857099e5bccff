"""Conversations, feedback and answers to repeated requests."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    add_conversations()
    add_messages()
    add_feedback()
    add_replies()


def required(name: str, kind: Any = sa.String) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def belongs(table: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{table}.id", ondelete="CASCADE")


def add_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String, primary_key=True),
        required("tenant"),
        required("owner"),
        required("title", sa.Text),
        sa.Column("share", sa.String, unique=True),
        required("created_at", sa.Float),
        required("updated_at", sa.Float),
    )
    op.create_index("ix_conversations_updated_at", "conversations", ["updated_at"])
    op.create_index("conversations_of_owner", "conversations", ["tenant", "owner", "updated_at"])


def add_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("conversation", sa.String, belongs("conversations"), nullable=False),
        required("place", sa.Integer),
        required("role"),
        required("text", sa.Text),
        sa.Column("rag", sa.JSON),
        required("created_at", sa.Float),
        sa.UniqueConstraint("conversation", "place"),
    )


def add_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("message", sa.String, belongs("messages"), primary_key=True),
        required("tenant"),
        required("rating"),
        required("reason"),
        required("comment", sa.Text),
        required("created_at", sa.Float),
    )
    op.create_index("feedback_of_tenant", "feedback", ["tenant", "created_at"])


def add_replies() -> None:
    op.create_table(
        "replies",
        sa.Column("scope", sa.String, primary_key=True),
        *(required(name) for name in ("request", "epoch")),
        required("created_at", sa.Float),
        required("worker"),
        required("lease_until", sa.Float),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.JSON),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("ix_replies_created_at", "replies", ["created_at"])
