"""What these commands tell the audit log: whose doing it was, and the ids of what it was done to."""

from __future__ import annotations

from typing import Any

from rag.accounts.audit import Result
from rag.accounts.commands.opening import HOLDER


def record(system: Any, action: str, *objects: str, outcome: Result = Result.DONE) -> None:
    """Write a row for each object: an id or the name of a source, never what a document is called or says."""
    from rag.accounts.accounts import Accounts

    audit = Accounts(system.catalog.database, system.settings.home).audit
    for each in objects:
        audit.record(action, HOLDER, object=each, outcome=outcome)
