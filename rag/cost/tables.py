"""Tables of the ledger, budgets and reservations."""

from __future__ import annotations
