"""Where a server is that words answers for a tier, and which settings say so: its errors name both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """One server. `setting` holds its address and `key_setting` its key; `tier`: whose words it gives."""

    url: str
    tier: str = "small"
    setting: str = "engine.url"
    key_setting: str = "engine.api_key"

    def __str__(self) -> str:
        return f"{self.url} of tier {self.tier!r}"
