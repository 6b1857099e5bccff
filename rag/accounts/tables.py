"""Tables of keys, groups, sessions and the audit chain."""

from __future__ import annotations
