"""Settings to voices: a generator for every declared tier."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from rag.answering.ability import ability_of
from rag.cost.prices import Price, PriceTable
from rag.engine.fleet import Fleet
from rag.engine.generator import Engine, Generator
from rag.engine.remote import RemoteGenerator
from rag.errors import SettingsError
from rag.models.lockfile import ChatTemplate, Entry
from rag.routing.broker import Broker
from rag.routing.external import ExternalTier
from rag.routing.router import Router
from rag.routing.tiers import Tier, TierKind, Tiers, declared, model_of
from rag.routing.triage import Triage
from rag.routing.voices import Voice, Voices
from rag.settings import Settings


def open_voices(settings: Settings) -> Voices:
    """All tiers of the settings. Models start at their first prompt. Raises SettingsError, ModelError."""
    tiers = declared(settings)
    prices = PriceTable(settings.prices)
    fleet = fleet_of(tiers, settings)
    voices = {
        tier.name: voice_of(tier, settings, fleet, prices)
        for tier in tiers
        if tier.kind is not TierKind.EXTRACT
    }
    return Voices(
        names=tiers.names,
        of=voices,
        router=Router.of(tiers, settings),
        triage=Triage.of(settings.routing.triage),
        embedder=settings.embedding.model,
        barred=tiers.barred(settings),
        by_name_only=undeclared(tiers, settings),
    )


def undeclared(tiers: Tiers, settings: Settings) -> frozenset[str]:
    """Tiers that come along unasked and are dearer than the usual one: who wants quotes gets no model."""
    names = tiers.names
    usual = settings.routing.usual or settings.answering.tier
    above = names[names.index(usual) + 1 :] if usual in names else ()
    return frozenset(name for name in above if name not in settings.tiers)


def price_of(settings: Settings) -> Callable[[str], Price | None]:
    """The price per token of a tier that others run, None for our own and for what no tier does (a search).
    Raises PriceUnavailable."""
    tiers, prices = declared(settings), PriceTable(settings.prices)

    def price(tier: str) -> Price | None:
        paid = (each for each in tiers if each.name == tier and each.kind is TierKind.EXTERNAL)
        found = next(paid, None)
        return prices.price(found.price, today()) if found else None

    return price


def voice_of(tier: Tier, settings: Settings, fleet: Fleet | None, prices: PriceTable) -> Voice:
    """Who words the answers of one tier."""
    model = model_of(tier, settings)
    about: dict[str, Any] = {
        "max_tokens": tier.max_tokens,
        "context": tier.context,
        "ability": ability_of(model.size, settings.answering, settings.tiers.get(tier.name)),
    }
    if tier.kind is TierKind.EXTERNAL:
        external = ExternalTier(tier, price=lambda name: prices.price(name, today()))
        return Voice(external.template, external=external, **about)
    template = template_of(model)
    if tier.kind is TierKind.REMOTE:
        speaker = remote(tier, template)
    elif fleet:
        speaker = fleet.generator(model.name)
    else:
        engine = settings.engine.model_copy(update={"model": model.name, "context": tier.context})
        speaker = Engine.of(settings.home, engine)
    return Voice(template, speaker, sha256=model.sha256, **about)


def remote(tier: Tier, template: ChatTemplate) -> Generator:
    """The servers of a remote tier as one generator."""
    servers = [
        RemoteGenerator(each, model=tier.model, api_key=tier.key, start=template.start)
        for each in tier.addresses
    ]
    if len(servers) == 1:
        return servers[0]
    return Broker.of(tier, servers)


def fleet_of(tiers: Tiers, settings: Settings) -> Fleet | None:
    """One budget of memory for all local models, where several tiers have one. Tiers of one model share its
    engine, in the longest context that any of them wants."""
    local = [tier for tier in tiers if tier.kind is TierKind.LOCAL]
    if len(local) < 2:
        return None
    contexts: dict[str, int] = {}
    for tier in local:
        contexts[tier.model] = max(tier.context, contexts.get(tier.model, 0))
    return Fleet(settings.home, settings.engine, contexts)


def template_of(model: Entry) -> ChatTemplate:
    """The form in which a generator reads a conversation."""
    if model.template is None:
        raise SettingsError(f"model {model.name!r} has no chat template: it does not answer questions")
    return model.template


def today() -> date:
    """The day that prices are asked for."""
    return datetime.now(UTC).date()
