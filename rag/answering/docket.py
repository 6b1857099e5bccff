"""What goes with a request from beginning to end: the tier that answers and why, and what it may cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from rag.answering.confidence import declined_below
from rag.answering.manner import Manner
from rag.answering.quotes import Selection
from rag.cost.accountant import Accountant
from rag.cost.guardrail import Plan, Step
from rag.cost.ledger import Ending
from rag.cost.meter import Charge
from rag.cost.ticket import Ticket
from rag.engine.generator import Priority
from rag.errors import BudgetExceeded, RagError
from rag.routing.egress import Material
from rag.routing.recording import line
from rag.routing.router import Case as Choice
from rag.routing.router import Decision
from rag.routing.signals import Draft, Evidence, Signals
from rag.routing.voices import Voice, Voices
from rag.settings import AnsweringSettings
from rag.store.vectors import Vectors
from rag.types import Answer, Message, Passage, Principal

FRAME_TOKENS = 160  # of a prompt beside question and passages: instructions and the chat template's marks


@dataclass(slots=True)
class Docket:
    """One request. `decision` may still change until the tier words the answer.

    `drafts`: by tier that drafted, the part of its sentences that had support.
    """

    ticket: Ticket
    decision: Decision
    question: str
    principal: Principal
    collection: str | None
    drafts: dict[str, float] = field(default_factory=dict)

    @property
    def tier(self) -> str:
        """Who answers, as far as is known by now."""
        return self.decision.tier

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the guardrail took away, for the reader."""
        step, plan = self.ticket.decision.step, self.ticket.plan
        told = {
            Step.FEWER_CHUNKS: f"answered from {plan.passages} passages",
            Step.SHORTER_ANSWER: f"cut to {plan.max_tokens} tokens",
            Step.SMALLER_TIER: f"answered by tier {plan.tier}",
        }
        return (f"{told[step]} to stay within the budget",) if step in told else ()

    def why(self, tier: str) -> str:
        """Why this tier answered, for people; figures read off a table are worded by no model at all."""
        return self.decision.why if tier == self.tier else f"{tier}: no model had to word it"

    def settle(self, answer: Answer) -> Charge:
        """Book the answer."""
        others = [asdict(each) for each in self.decision.alternatives]
        route = {**json.loads(line(self.decision)), "alternatives": others, "drafts": self.drafts}
        facts = {"sha256": answer.model_sha256} if answer.model_sha256 else None
        outcome = Ending.CACHED if answer.cached else Ending.OK
        return self.ticket.settle(
            outcome=outcome, tier=answer.tier, model=answer.model, route=route, facts=facts
        )


class Clerk:
    """Opens dockets and decides who answers."""

    def __init__(
        self, voices: Voices, accountant: Accountant, vectors: Vectors, settings: AnsweringSettings
    ) -> None:
        self.voices, self.accountant, self.vectors, self.settings = voices, accountant, vectors, settings

    async def open(
        self,
        asked: str,
        question: str,
        principal: Principal,
        *,
        tier: str | None,
        history: Sequence[Message],
        collection: str | None,
        manner: Manner,
        request_id: str,
        before: str,
        most: float,
    ) -> Docket:
        """Choose by the question alone and reserve the worst case of that.

        Raises UnknownModel, why a named tier is barred, BudgetExceeded.
        """
        if tier:
            self.voices.check(tier)
        closed = self.voices.closed(principal, (), named=bool(tier))
        signals = await self._signals(asked, tier or "", in_conversation=bool(history))
        bar = declined_below(self.settings)
        choice = Choice(signals, named=tier or "", before=before, closed=closed, declined_below=bar)
        opening = partial(self.accountant.open, principal, request_id=request_id, collection=collection)
        try:
            decision = self.voices.router.choose(choice)
        except RagError:
            # What is refused is on the books as well.
            with await asyncio.to_thread(opening, tier=self.voices.names[0]):
                raise
        plan = self._plan(decision.tier, question, manner)
        opening = partial(
            opening,
            tier=plan.tier,
            prompt_tokens=plan.prompt_tokens,
            max_tokens=plan.max_tokens,
            passages=plan.passages,
            passage_tokens=plan.passage_tokens,
            smaller=self.voices.cheaper(decision.tier, closed),
            can_wait=manner.priority is Priority.BATCH,
            most=most,
        )
        ticket = await asyncio.to_thread(opening)
        if ticket.plan.tier != decision.tier:
            decision = replace(decision, tier=ticket.plan.tier)
        return Docket(ticket, decision, question, principal, collection)

    async def decide(
        self,
        docket: Docket,
        passages: Sequence[Passage],
        selection: Selection,
        materials: Sequence[Material],
        manner: Manner,
    ) -> None:
        """Choose again with what was found. A dearer tier than reserved must fit the budget too.

        `materials`: where the passages that a model would read come from, if any tier could send them away.
        """
        choice = docket.decision.case
        if choice.named:
            return
        closed = {**choice.closed, **self.voices.closed(docket.principal, materials)}
        for name in self._above(docket.ticket.plan.tier):
            if docket.ticket.decision.step is Step.SMALLER_TIER:
                closed.setdefault(name, "the budget does not allow it")
        choice = replace(choice, closed=closed, evidence=Evidence.of(passages, selection.confidence))
        docket.decision = await self._within_budget(docket, self.voices.router.choose(choice), manner)

    async def after(self, docket: Docket, draft: Draft, manner: Manner) -> bool:
        """Whether a dearer tier is to try again, because too little of the draft had support."""
        decision = self.voices.router.after(docket.decision, draft)
        if decision.tier == docket.tier:
            return False
        decision = await self._within_budget(docket, decision, manner)
        if decision.tier == docket.tier:
            return False
        docket.decision = decision
        return True

    async def narrow(self, docket: Docket, tokens: int, manner: Manner) -> None:
        """Estimate once more: `tokens` are passages and question of a prompt, 0 where none is sent."""
        plan = Plan(docket.ticket.plan.tier, 0, 0)
        if tokens:
            most = self._plan(docket.tier, docket.question, manner).max_tokens
            plan = Plan(docket.tier, FRAME_TOKENS + tokens, most)
        await asyncio.to_thread(self.accountant.narrow, docket.ticket, plan)

    def may_rise(self, docket: Docket) -> bool:
        """Whether a draft without support would be followed by another tier's."""
        return self.voices.router.after(docket.decision, Draft(0, 0)).tier != docket.tier

    def voice(self, docket: Docket) -> Voice | None:
        """Who words the answer; None where quotes are all there is."""
        return self.voices.of.get(docket.tier)

    async def _within_budget(self, docket: Docket, decision: Decision, manner: Manner) -> Decision:
        """The decision, if its tier is not dearer than what is reserved, or that can be reserved as well."""
        if decision.tier not in self._above(docket.ticket.plan.tier):
            return decision
        plan = self._plan(decision.tier, docket.question, manner)
        try:
            await asyncio.to_thread(
                self.accountant.rise, docket.ticket, plan, docket.principal, docket.collection
            )
        except BudgetExceeded:
            return docket.decision
        return decision

    def _above(self, tier: str) -> tuple[str, ...]:
        return self.voices.names[self.voices.names.index(tier) + 1 :]

    def _plan(self, tier: str, question: str, manner: Manner) -> Plan:
        """The most that a tier will be given for this question."""
        voice = self.voices.of.get(tier)
        if voice is None:
            return Plan(tier, 0, 0)
        passages = self.settings.context_tokens
        # No vocabulary makes more tokens of a text than it has bytes.
        prompt = FRAME_TOKENS + passages + len(question.encode())
        most = manner.max_tokens or voice.max_tokens or self.settings.max_tokens
        reads = voice.ability.passages or self.settings.max_quotes
        return Plan(tier, prompt, most, passages=reads, passage_tokens=passages)

    async def _signals(self, asked: str, tier: str, *, in_conversation: bool) -> Signals:
        """What kind of question it is. Its vector costs a trip to the index: only where it decides."""
        vector: Sequence[float] = ()
        if not tier and len(self.voices.names) > 1:
            (vector,) = await self.vectors.embed([asked], side="query")
        return self.voices.triage.signals(
            asked, vector, embedder=self.voices.embedder, in_conversation=in_conversation
        )
