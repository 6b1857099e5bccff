"""THE STORY OF A QUERY: retrieve, recall or judge, compute or word, ground, cite, account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from rag.answering.account import Account
from rag.answering.brief import filled, refusal, worth_warming
from rag.answering.case import Case
from rag.answering.citations import Citations, quoted, stands
from rag.answering.confidence import DECLINED_BELOW
from rag.answering.drafting import Drafter
from rag.answering.editions import conflicts
from rag.answering.events import Delta, Event, Final, Sources
from rag.answering.manner import AS_SET, Manner
from rag.answering.memory import AnswerMemory, CachePolicy, Situation, recipe_of
from rag.answering.quotes import Selection, choose
from rag.answering.tables.evidence import MOST_ROWS, PRECISION, compute
from rag.answering.worded import structured, worded
from rag.cost.meter import Meter
from rag.engine.generator import Generator
from rag.engine.inquiry import Inquiry
from rag.errors import BadRequest, RagError
from rag.models.lockfile import ChatTemplate
from rag.retrieval.filters import Filter
from rag.retrieval.question import standalone
from rag.retrieval.retriever import Retriever
from rag.settings import AnsweringSettings
from rag.store.catalog import StoredChunk
from rag.store.vectors import Vectors
from rag.types import Answer, Message, Outcome, Passage, Principal, Profile, Tier

MOST_VALUES = 64  # citations of a JSON answer
Live = Callable[[Sequence[str], Principal], Mapping[str, StoredChunk]]
AskBack = Callable[[str, Sequence[Passage]], str | None]


class Assistant:
    """Answers questions from the documents, and never from the model alone.

    `epoch` tells the last removal of a document (rag.store.revocation); without it the engine has to assume
    that the passages of a prompt were looked up at the moment it comes in. `live` reads chunks that a reader
    may read now: every citation is held against them once more. `ask_back` may find that a question can mean
    several things, and says what to ask. `model_sha256` is part of what an answer is remembered by; without
    it words of a model are not remembered. `barred`: why the model may not word answers here.
    """

    def __init__(
        self,
        retriever: Retriever,
        generator: Generator,
        vectors: Vectors,
        meter: Meter,
        settings: AnsweringSettings,
        template: ChatTemplate,
        *,
        epoch: Callable[[], str] | None = None,
        live: Live | None = None,
        ask_back: AskBack | None = None,
        model_sha256: str = "",
        barred: RagError | None = None,
    ) -> None:
        self.retriever, self.vectors, self.meter = retriever, vectors, meter
        self.generator, self.settings, self.template = generator, settings, template
        self.epoch, self.live, self.ask_back, self.model_sha256 = epoch, live, ask_back, model_sha256
        self.barred = barred
        high = settings.profile in (Profile.HIGH, Profile.RESTRICTED)
        self.memory = AnswerMemory(CachePolicy.OFF if high else CachePolicy(settings.cache))

    async def ask(
        self,
        question: str,
        principal: Principal,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
        manner: Manner = AS_SET,
    ) -> AsyncIterator[Event]:
        """The answer as it becomes certain: Sources, then Delta, then Final. A failed search raises.

        `only`: documents to answer from. The text of Final is the deltas put together, unless a cited
        document was removed, replaced or closed to the reader meanwhile: then it is a refusal.
        """
        account = Account()
        tier = tier or self.settings.tier
        if self.barred and tier != Tier.EXTRACT:
            raise self.barred
        if manner.schema and tier == Tier.EXTRACT:
            raise BadRequest("JSON answers are worded by a model: ask a tier that has one, not extract")
        asked, question = question, standalone(question, history)
        # Before the search: a document removed from here on may be among its passages.
        epoch = self.epoch() if self.epoch else None
        found = await self.retriever.search(
            asked, principal, collection=collection, limit=limit, history=history, only=only
        )
        passages = tuple(found)
        yield Sources(passages)
        account.lap("retrieve")

        self.memory.at(epoch)
        recipe = f"{recipe_of(self.settings, self.model_sha256)}\n{manner}"
        situation = Situation.of(principal, tier, recipe, passages)
        vector = await self._vector(question)
        answer = None
        if memorable := not manner.temperature and manner.logprobs is None:
            answer = self.memory.find(question, situation) or self.memory.find_alike(
                question, vector, situation
            )
        if answer:
            account.lap("recall")
            answer = replace(
                answer, passages=passages, usage=account.usage, cost=self.meter.cost(account.cpu_s)
            )
            answer = replace(answer, seconds={**account.seconds, "total": sum(account.seconds.values())})
            yield Delta(answer.text, answer.citations)
        else:
            inquiry = Inquiry(self.generator, epoch)
            case = Case(
                question,
                principal,
                passages,
                tier,
                manner,
                inquiry,
                account,
                Citations(self.settings.max_quotes),
            )
            async for event in self._answer(case):
                if isinstance(event, Final):
                    answer = event.answer
                else:
                    yield event
            assert answer is not None
        answer = await self._checked(answer, principal)
        lasting = answer.outcome is not Outcome.CLARIFY and (tier == Tier.EXTRACT or self.model_sha256)
        if memorable and lasting:
            self.memory.keep(question, situation, replace(answer, cached=""), vector)
        yield Final(answer)

    async def _answer(self, case: Case) -> AsyncIterator[Delta | Final]:
        """An answer that nobody was given before."""
        account, passages = case.account, case.passages
        if self.ask_back and (back := self.ask_back(case.question, passages)):
            yield case.delta(back)
            yield Final(self._final(case, Outcome.CLARIFY))
            return
        if not case.manner.schema and (computed := compute(case.question, passages)):
            account.lap("compute")
            case.citations = Citations(MOST_ROWS)
            yield case.delta(computed.shown(case.citations))
            yield Final(self._final(case, Outcome.COMPUTED, PRECISION))
            return
        selection = await choose(case.question, passages, self.vectors, limit=self.settings.max_quotes)
        account.lap("quotes")
        outcome = Outcome.NOT_FOUND
        unchecked: tuple[str, ...] = ()
        if not selection.answers(DECLINED_BELOW[self.settings.profile]):
            yield case.delta(refusal(passages))
        elif case.manner.schema:
            outcome, delta, unchecked = await self._structure(case, selection)
            yield delta
        else:
            async for delta in self._word(case, selection):
                outcome = Outcome.ANSWERED
                yield delta
            for quote in selection.quotes:
                case.citations.add(quote.passage, quote.sentence, score=quote.similarity)
            if not case.shown:
                outcome = Outcome.QUOTED
                yield case.delta(quoted(case.citations))
        if case.tier != Tier.EXTRACT:
            # The next question is often about the same documents.
            case.inquiry.expect(worth_warming(passages, budget_tokens=self.settings.context_tokens))
        account.lap("ground")
        answer = self._final(case, outcome, selection.confidence)
        yield Final(replace(answer, unchecked=unchecked))

    async def _vector(self, question: str) -> list[float]:
        """The question's vector, where meaning is compared."""
        if self.memory.policy is not CachePolicy.SEMANTIC:
            return []
        (vector,) = await self.vectors.embed([question], side="query")
        return vector

    async def _checked(self, answer: Answer, principal: Principal) -> Answer:
        """The answer if every citation still stands for this reader, else a refusal."""
        if not self.live or not answer.citations:
            return answer
        live = await asyncio.to_thread(self.live, [each.chunk_id for each in answer.citations], principal)
        if all(stands(each, live) for each in answer.citations):
            return answer
        return replace(
            answer, text=refusal(()), outcome=Outcome.NOT_FOUND, citations=(), passages=(), confidence=None
        )

    def _drafter(self, case: Case) -> Drafter:
        return Drafter(case.inquiry, self.settings, self.template, case.principal, case.manner)

    async def _word(self, case: Case, selection: Selection) -> AsyncIterator[Delta]:
        """The model's sentences that a passage supports; none where no model is asked."""
        if case.tier == Tier.EXTRACT:
            return
        said = worded(
            case.question, selection, self._drafter(case), self.vectors, case.citations, case.account
        )
        async with aclosing(said):  # type: ignore[type-var]
            async for each in said:
                yield case.delta(each.text, each.tokens)

    async def _structure(self, case: Case, selection: Selection) -> tuple[Outcome, Delta, tuple[str, ...]]:
        """JSON all of whose values the passages hold, or a refusal that names those they do not."""
        case.citations = Citations(MOST_VALUES)
        text, backed = await structured(
            case.question, selection, self._drafter(case), case.citations, case.account
        )
        if backed.missing:
            case.citations = Citations(0)
            return Outcome.NOT_FOUND, case.delta(filled("unbacked", values=", ".join(backed.missing))), ()
        case.shown = text
        return Outcome.ANSWERED, Delta(text, case.citations.all), backed.unchecked

    def _final(self, case: Case, outcome: Outcome, confidence: float | None = None) -> Answer:
        account = case.account
        cited = {each.chunk_id for each in case.citations.all}
        found = conflicts(case.passages) if cited else []
        return Answer(
            text=case.shown,
            outcome=outcome,
            tier=case.tier,
            citations=case.citations.all,
            passages=case.passages,
            usage=account.usage,
            cost=self.meter.cost(account.cpu_s),
            seconds={**account.seconds, "total": sum(account.seconds.values())},
            model=account.model,
            confidence=confidence,
            finish=account.finish,
            notes=tuple(each.told for each in found if cited & {each.newer.chunk.id, each.older.chunk.id}),
        )


__all__ = ["Assistant", "Delta", "Event", "Final", "Sources"]
