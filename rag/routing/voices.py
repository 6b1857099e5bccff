"""Who words the answers of each tier, and which of them a question gets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag.answering.ability import SMALL, Ability
from rag.engine.generator import Generator
from rag.errors import RagError, UnknownModel
from rag.models.lockfile import ChatTemplate
from rag.routing.egress import Material
from rag.routing.external import ExternalTier
from rag.routing.router import Router
from rag.routing.triage import Triage
from rag.types import Principal


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that words answers. Exactly one of `generator` (ours) and `external` is there.

    `context`: tokens of prompt and answer that it can hold; 0: not known.
    """

    template: ChatTemplate
    generator: Generator | None = None
    external: ExternalTier | None = None
    sha256: str = ""
    max_tokens: int = 0
    context: int = 0
    ability: Ability = SMALL

    def speak(self, principal: Principal, materials: Sequence[Material]) -> Generator:
        """The generator for one request. Raises EgressDenied for what may not leave."""
        if self.external:
            return self.external.clear(principal, materials)
        assert self.generator is not None
        return self.generator


@dataclass(frozen=True, slots=True)
class Voices:
    """The tiers in use: `names` from cheap to dear, a voice for each but `extract`.

    `barred`: why a tier may not word answers here at all. `by_name_only`: tiers that nobody declared and that
    are dearer than the usual one. `embedder`: whose vectors triage gets.
    """

    names: tuple[str, ...]
    of: Mapping[str, Voice]
    router: Router
    triage: Triage
    embedder: str = ""
    barred: Mapping[str, RagError] = field(default_factory=dict)
    by_name_only: frozenset[str] = frozenset()

    def check(self, name: str) -> None:
        """Raises UnknownModel for a name that is no tier, and why the tier is barred."""
        if name not in self.names:
            raise UnknownModel(f"no tier {name!r}; have {', '.join(self.names)}")
        if why := self.barred.get(name):
            raise why

    def closed(
        self, principal: Principal, materials: Iterable[Material], *, named: bool = False
    ) -> dict[str, str]:
        """Why tiers may not answer this question, by name. `named`: the reader asks for one of them."""
        found = {} if named else dict.fromkeys(self.by_name_only, "it is dearer than answering.tier")
        found |= {name: str(why) for name, why in self.barred.items()}
        materials = list(materials)
        for name, voice in self.of.items():
            if voice.external and not (verdict := voice.external.why_closed(principal, materials)).allowed:
                found.setdefault(name, verdict.reason)
        return found

    def cheaper(self, than: str, closed: Mapping[str, str]) -> list[str]:
        """The open tiers below one, dearest first."""
        return [name for name in reversed(self.names[: self.names.index(than)]) if name not in closed]

    @property
    def digest(self) -> str:
        """What the words of any tier depend on; empty if that of one is not known."""
        known = [voice.sha256 for voice in self.of.values()]
        said = (f"{name}={voice.sha256} {voice.ability}" for name, voice in self.of.items())
        return "\n".join(said) if all(known) else ""

    @property
    def has_external(self) -> bool:
        """Whether any tier could send something away."""
        return any(voice.external for voice in self.of.values())

    async def close(self) -> None:
        """End what the tiers opened."""
        opened = [voice.generator or voice.external for voice in self.of.values()]
        await asyncio.gather(*(each.close() for each in opened if each), return_exceptions=True)
