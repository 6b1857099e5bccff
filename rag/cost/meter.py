"""The first meter: the CPU-seconds an answer took, times a rate."""

from __future__ import annotations

from rag.settings import CostSettings
from rag.types import Cost

METHOD = "estimate: CPU-seconds x rate"


class Meter:
    """Turns measured CPU-seconds into money; an estimate, and labelled as one."""

    def __init__(self, settings: CostSettings) -> None:
        self._settings = settings

    def cost(self, cpu_seconds: float) -> Cost:
        """amount = cpu_seconds / 3600 x the price of one busy core for one hour."""
        amount = cpu_seconds / 3600 * self._settings.cpu_hour_rate
        return Cost(amount=amount, currency=self._settings.currency, cpu_seconds=cpu_seconds, method=METHOD)
