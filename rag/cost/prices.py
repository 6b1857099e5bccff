"""What outside models cost, by the token. A price that is missing or old is refused, never taken as zero."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rag.errors import PriceUnavailable
from rag.settings import PriceSettings

FILE = Path(__file__).with_name("prices.json")
OLDEST = datetime.timedelta(days=90)
DAY = datetime.timedelta(days=1)
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class LongContext:
    """Prices per million tokens of a prompt with more than `above` tokens."""

    above: int
    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Price:
    """Prices per million tokens. `cached` None: cached tokens cost as others. `date`: when last looked up."""

    model: str
    input: float
    output: float
    cached: float | None
    currency: str
    source: str
    date: datetime.date
    start: datetime.date | None = None
    end: datetime.date | None = None
    long: tuple[LongContext, ...] = ()

    def is_stale(self, on: datetime.date) -> bool:
        """Whether nobody looked for more than 90 days."""
        return on - self.date > OLDEST

    def cost(self, prompt_tokens: float, completion_tokens: float, *, cached_tokens: int = 0) -> float:
        """What one call costs, in `currency`, also of a mean length; `cached_tokens` are of the prompt's."""
        step = max(
            (one for one in self.long if prompt_tokens > one.above), key=lambda one: one.above, default=None
        )
        read, written = (step.input, step.output) if step else (self.input, self.output)
        # A tier of long context states no price of its own for cached tokens.
        again = read if self.cached is None or step else self.cached
        fresh = prompt_tokens - cached_tokens
        return (fresh * read + cached_tokens * again + completion_tokens * written) / MILLION


class PriceTable:
    """The packaged prices, with those of rag.toml in front."""

    def __init__(self, own: Mapping[str, PriceSettings] | None = None) -> None:
        self._own = {name: _own(name, price) for name, price in (own or {}).items()}

    def find(self, model: str, on: datetime.date) -> Price | None:
        """The price in force on a day, however long ago somebody looked; None without one."""
        if model in self._own:
            return self._own[model]
        return next((each for each in packaged() if each.model == model and _in_force(each, on)), None)

    def price(self, model: str, on: datetime.date) -> Price:
        """The price in force on a day. Raises PriceUnavailable when it is missing, older than 90 days or
        dated ahead."""
        found = self.find(model, on)
        way_out = f"look it up and set [prices.{json.dumps(model)}] in rag.toml, with as_of"
        if found is None:
            raise PriceUnavailable(f"no price of {model!r} on {on}: {way_out}")
        if found.is_stale(on):
            raise PriceUnavailable(f"the price of {model!r} was last looked up on {found.date}: {way_out}")
        if found.date > on + DAY:  # elsewhere it is tomorrow already; later than that it would never get old
            raise PriceUnavailable(f"the price of {model!r} is of {found.date}, which is to come: {way_out}")
        return found


def price(model: str, on: datetime.date) -> Price:
    """The packaged price of a model. Raises PriceUnavailable when it is missing or older than 90 days."""
    return PriceTable().price(model, on)


@cache
def packaged() -> tuple[Price, ...]:
    """The prices that come with Permafrost."""
    found = json.loads(FILE.read_text("utf-8"))
    shared = (found["currency"], found["source"], datetime.date.fromisoformat(found["as_of"]))
    return tuple(
        Price(
            row["id"],
            row["input"],
            row["output"],
            row["cached"],
            *shared,
            start=_day(row["from"]),
            end=_day(row["to"]),
            long=tuple(LongContext(**step) for step in row["long"]),
        )
        for row in found["prices"]
    )


def _own(model: str, price: PriceSettings) -> Price:
    return Price(model, price.input, price.output, price.cached, price.currency, price.source, price.as_of)


def _day(text: str | None) -> datetime.date | None:
    return datetime.date.fromisoformat(text) if text else None


def _in_force(price: Price, on: datetime.date) -> bool:
    return (price.start is None or price.start <= on) and (price.end is None or on <= price.end)
