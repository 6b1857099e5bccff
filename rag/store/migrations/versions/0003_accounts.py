"""Accounts: keys, groups, sessions, and the audit chain."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Filled in by its area."""
