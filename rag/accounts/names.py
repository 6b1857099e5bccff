"""Names of users, groups and tenants, as they are stored and compared."""

from __future__ import annotations

import secrets
import unicodedata

from rag.errors import BadRequest

LONGEST = 200


def plain(name: str, what: str) -> str:
    """A name in one Unicode form (NFC). Raises BadRequest for one that is empty, too long or not all visible.

    Line ends are among what is refused: caches are kept apart by lists of groups, one a line.
    """
    found = unicodedata.normalize("NFC", name)
    if not 0 < len(found) <= LONGEST or found != found.strip() or not found.isprintable():
        raise BadRequest(f"{name[:LONGEST]!r} cannot be the name of a {what}: 1 to {LONGEST} visible letters")
    return found


def is_plain(name: object) -> bool:
    """Whether something that others sent can be a name."""
    if not isinstance(name, str):
        return False
    try:
        return plain(name, "group") == name
    except BadRequest:
        return False


def new_id(kind: str) -> str:
    """An id of ours that tells nothing."""
    return f"{kind}-{secrets.token_hex(8)}"
