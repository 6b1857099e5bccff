"""The tiers there are, from cheap to dear: extract, small, and those that rag.toml declares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from rag.engine.address import Address
from rag.errors import ModelError, RagError, SettingsError, UnknownModel
from rag.models import gates
from rag.models.lockfile import ChatTemplate, Entry, entry, locate
from rag.models.templates import families
from rag.settings import EgressSettings, Settings, TierSettings

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
AUTO = "auto"  # what callers name to leave the choice to the router


class TierKind(StrEnum):
    """Where the words of a tier come from."""

    EXTRACT = "extract"  # the documents: quotes, and no generated token
    LOCAL = "local"  # a frozen model on this machine
    REMOTE = "remote"  # a server of ours
    EXTERNAL = "external"  # a server of others: text leaves


@dataclass(frozen=True, slots=True)
class Tier:
    """One way to word an answer. `price`: "measured", or the name under which prices.py knows it.

    `url_prices`: what a token costs at each of `urls`, against each other; empty: the same. `slots` and
    `deadline_s` (seconds to the last token) are of each server. `url_setting` and `key_setting` say where
    they are and what opens them; empty: those of [tiers.NAME].
    """

    name: str
    kind: TierKind
    model: str = ""
    urls: tuple[str, ...] = ()
    url_prices: tuple[float, ...] = ()
    template: str = ""
    key: str = field(default="", repr=False)
    price: str = "measured"
    context: int = 0
    max_tokens: int = 0
    slots: int = 1
    deadline_s: float = 30.0
    egress: EgressSettings = EgressSettings()
    url_setting: str = ""
    key_setting: str = ""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Its servers."""
        setting = self.url_setting or f"tiers.{self.name}.urls"
        key = self.key_setting or f"tiers.{self.name}.api_key_env"
        return tuple(Address(url, self.name, setting, key) for url in self.urls)

    @property
    def entry_name(self) -> str:
        """What the model is called in answers and in the ledger."""
        return self.model or ("remote" if self.urls else "")


@dataclass(frozen=True, slots=True)
class Tiers:
    """All of them, from cheap to dear."""

    all: tuple[Tier, ...]

    def __iter__(self) -> Iterator[Tier]:
        return iter(self.all)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, from cheap to dear."""
        return tuple(tier.name for tier in self.all)

    def get(self, name: str) -> Tier:
        """The tier of that name. Raises UnknownModel that names those there are."""
        for tier in self.all:
            if tier.name == name:
                return tier
        raise UnknownModel(f"no tier {name!r}; have {', '.join(self.names)}")

    def barred(self, settings: Settings) -> dict[str, RagError]:
        """Why tiers may not word answers of answering.profile here, by name: no file, or no passed gate."""
        found = {tier.name: why for tier in self.all if (why := why_barred(tier, settings))}
        return found


def declared(settings: Settings) -> Tiers:
    """The tiers of the settings, in the order in which they are declared: their owner knows what they cost.

    `extract` and `small` come first where they are not declared. Raises SettingsError.
    """
    own = {name: of_settings(name, one, settings) for name, one in settings.tiers.items()}
    assumed = [tier for tier in (extract(), small(settings)) if tier.name not in own]
    tiers = Tiers((*assumed, *own.values()))
    for name, where in (
        ("answering.tier", settings.answering.tier),
        ("routing.usual", settings.routing.usual),
    ):
        if where and where not in (*tiers.names, AUTO):
            raise SettingsError(f"{name} is {where!r}; have {', '.join(tiers.names)}")
    return tiers


def extract() -> Tier:
    """Quotes."""
    return Tier("extract", TierKind.EXTRACT)


def small(settings: Settings) -> Tier:
    """The model of [engine], here or on another server."""
    engine, here = settings.engine, not settings.engine.url
    return Tier(
        "small",
        TierKind.LOCAL if here else TierKind.REMOTE,
        engine.model if here else engine.remote_model,
        urls=() if here else (engine.url,),
        template="" if here else engine.remote_template,
        key="" if here else engine.api_key,
        context=engine.context,
        max_tokens=settings.answering.max_tokens,
        slots=engine.slots,
        url_setting="engine.url",
        key_setting="engine.api_key",
    )


def of_settings(name: str, declared: TierSettings, settings: Settings) -> Tier:
    """The tier that a [tiers.NAME] describes. Raises SettingsError."""
    if not NAME.fullmatch(name) or name == AUTO:
        raise SettingsError(f"[tiers.{name}]: a name has a-z, 0-9, _ and - only, and is not {AUTO!r}")
    kind = TierKind(declared.kind)
    if kind is TierKind.REMOTE and declared.template not in families():
        raise SettingsError(
            f"tiers.{name}.template is {declared.template!r}; have {', '.join(sorted(families()))}"
        )
    if kind is TierKind.LOCAL:
        entry(declared.model, settings.home)
    price = declared.price or (declared.model if kind is TierKind.EXTERNAL else "measured")
    return Tier(
        name,
        kind,
        declared.model,
        urls=declared.urls,
        url_prices=declared.url_prices,
        template=declared.template,
        key=declared.key,
        price=price,
        context=declared.context,
        max_tokens=declared.max_tokens,
        slots=declared.slots,
        deadline_s=declared.deadline_s,
        egress=declared.egress,
    )


def model_of(tier: Tier, settings: Settings) -> Entry:
    """What models.lock knows of a tier's model; of one on another server nothing but its name and form."""
    if tier.kind is TierKind.LOCAL:
        return entry(tier.model, settings.home)
    url = tier.urls[0] if tier.urls else ""
    return Entry(tier.entry_name, "generator", "", (), "", "", url, template=template_of(tier))


def template_of(tier: Tier) -> ChatTemplate | None:
    """The template of a remote model; None where the lock or nobody knows one."""
    return families()[tier.template].template if tier.kind is TierKind.REMOTE else None


def why_barred(tier: Tier, settings: Settings) -> RagError | None:
    """Why a tier may not word answers of answering.profile on this machine; None: it may."""
    if tier.kind is TierKind.EXTRACT:
        return None
    try:
        model = model_of(tier, settings)
        if tier.kind is TierKind.LOCAL:
            locate(model, settings.home)
        gates.check(settings.home, model, settings, settings.answering.profile)
    except ModelError as error:
        return error
    return None
