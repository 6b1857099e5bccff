"""Money: the ledger, budgets and reservations."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Filled in by its area."""
