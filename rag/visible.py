"""Names as they may be shown: without what a terminal obeys or what turns the direction of a line."""

from __future__ import annotations

import re

# C0 and C1 (escape sequences begin there), and the marks that embed, override or isolate a direction.
OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(name: str) -> str:
    """The name with a question mark for each character that acts rather than being read."""
    return OBEYED.sub("?", name)
