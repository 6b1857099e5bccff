"""Which of the passages that were found a model reads, and which of them may leave for a model elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rag.answering.docket import FRAME_TOKENS, Docket
from rag.answering.editions import outdated
from rag.answering.quotes import Selection
from rag.errors import EgressDenied
from rag.routing.egress import Material
from rag.routing.signals import QuestionKind
from rag.routing.voices import Voice
from rag.store.catalog import StoredChunk
from rag.types import Passage, Principal

# A third of squad2's questions have such confidence. The passages of the quotes, one or two, hold the answer
# to 98.8 % of those; to 93.6 % of all, and the first six to 96.8 %.
SURE = 0.8
LEAST_TOKENS = 64  # of passages: with fewer there is nothing to answer from

Live = Callable[[Sequence[str], Principal], Mapping[str, StoredChunk]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model reads, within so many tokens. `materials`: where it comes from, for a model elsewhere."""

    passages: Sequence[Passage]
    budget_tokens: int
    materials: Sequence[Material] = ()


def to_read(
    selection: Selection, question: str, found: Sequence[Passage] = (), most: int | None = None
) -> list[Passage]:
    """The passages of the quotes, then the best of the others that were `found`, `most` in all, without
    editions that are out of date."""
    chosen = list(dict.fromkeys([*(quote.passage for quote in selection.quotes), *found]))[:most]
    old = outdated(chosen, question)
    return [passage for passage in chosen if passage.document_id not in old]


async def reading_for(
    voice: Voice,
    docket: Docket,
    selection: Selection,
    question: str,
    found: Sequence[Passage],
    *,
    live: Live | None,
    budget_tokens: int,
) -> Reading:
    """What a voice reads for a question: only what is quoted where that is nearly sure to answer one question
    after one fact; less where its context, or a budget, holds no more.

    Of what would leave, the passages of the quotes stay, and the policy has the last word on them; others are
    left out unless they may leave. `live` reads chunks as the catalog has them now.
    """
    most, plan = voice.ability.passages, docket.ticket.plan
    if voice.context:
        around = FRAME_TOKENS + len(question.encode()) + (plan.max_tokens or voice.max_tokens)
        budget_tokens = min(budget_tokens, max(LEAST_TOKENS, voice.context - around))
    if plan.tier == docket.tier and plan.passages:
        most, budget_tokens = min(most, plan.passages), min(budget_tokens, plan.passage_tokens)
    simple = docket.decision.case.signals.topic is QuestionKind.SIMPLE_LOOKUP
    if not most or (simple and selection.confidence >= SURE):
        found = ()
    passages = to_read(selection, question, found, most or None)
    if not voice.external:
        return Reading(passages, budget_tokens)
    who, kept = docket.principal, set(to_read(selection, question))
    come_from = await materials(passages, who, live=live)
    leaving = [
        passage
        for passage in passages
        if passage in kept or may_leave(voice, who, come_from.get(passage.chunk.id))
    ]
    return Reading(leaving, budget_tokens, all_of(leaving, come_from))


async def sources(
    selection: Selection, question: str, principal: Principal, *, live: Live | None
) -> list[Material]:
    """Where the passages of the quotes come from. Raises EgressDenied when one of them is gone."""
    quoted_from = to_read(selection, question)
    return all_of(quoted_from, await materials(quoted_from, principal, live=live))


def all_of(passages: Sequence[Passage], come_from: Mapping[str, Material]) -> list[Material]:
    """Where each of the passages comes from. Raises EgressDenied when one of them is gone."""
    found = [come_from[passage.chunk.id] for passage in passages if passage.chunk.id in come_from]
    if lost := len(passages) - len(found):
        raise EgressDenied(f"{lost} of the passages may not be read any more; ask again")
    return found


async def materials(
    passages: Sequence[Passage], principal: Principal, *, live: Live | None
) -> dict[str, Material]:
    """Where passages come from, as the catalog says now, by chunk; those are missing that are not to be read
    any more."""
    keys = [passage.chunk.id for passage in passages]
    found = await asyncio.to_thread(live, keys, principal) if live else {}
    return {key: Material.of(found[key].document) for key in keys if key in found}


def may_leave(voice: Voice, principal: Principal, material: Material | None) -> bool:
    """Whether a tier of others may get a passage."""
    external = voice.external
    return bool(external and material and external.why_closed(principal, [material]).allowed)
