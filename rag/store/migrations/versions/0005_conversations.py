"""Conversations, feedback and answers to repeated requests."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Filled in by its area."""
