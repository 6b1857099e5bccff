"""Tables of conversations, feedback and remembered replies."""

from __future__ import annotations
