"""THE STORY OF A QUERY: reserve, retrieve, recall or judge, compute or word, ground, cite, account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from rag.answering.account import Account, work_of
from rag.answering.brief import worth_warming
from rag.answering.case import Case
from rag.answering.citations import Citations, quoted, stands
from rag.answering.confidence import declined_below
from rag.answering.docket import Clerk, Docket
from rag.answering.drafting import Drafter
from rag.answering.editions import conflicts
from rag.answering.events import Delta, Event, Final, Sources
from rag.answering.flow import flowing
from rag.answering.manner import AS_SET, Manner
from rag.answering.memory import AnswerMemory, CachePolicy, Situation, recipe_of
from rag.answering.quotes import Selection, choose
from rag.answering.reading import Live, reading_for, sources
from rag.answering.replies import refusal, reply
from rag.answering.tables.evidence import MOST_ROWS, PRECISION, Computed, compute, cut_off
from rag.answering.worded import Said, Tally, structured, worded
from rag.cost.accountant import Accountant
from rag.cost.meter import Work
from rag.engine.generator import Finished
from rag.engine.inquiry import Inquiry
from rag.errors import BadRequest
from rag.observability.tracing import span
from rag.retrieval.filters import Filter
from rag.retrieval.question import standalone
from rag.retrieval.retriever import Retriever
from rag.routing.egress import Material
from rag.routing.external import Cleared
from rag.routing.signals import Draft
from rag.routing.voices import Voices
from rag.settings import AnsweringSettings
from rag.store.catalog import StoredChunk
from rag.store.vectors import Vectors
from rag.types import Answer, Cost, Message, Outcome, Passage, Principal, Profile, Tier
from rag.workers import CHILD_CPU

MOST_VALUES = 64  # citations of a JSON answer
Beside = Callable[[Sequence[str], Principal], Mapping[str, Sequence[StoredChunk]]]
MOST_PARTS = 8  # of a table, put together for one answer
AskBack = Callable[[str, Sequence[Passage]], str | None]


class Assistant:
    """Answers questions from the documents, and never from a model alone.

    `epoch` tells the last removal of a document (rag.store.revocation); without it the engine has to assume
    that the passages of a prompt were looked up at the moment it comes in. `live` reads chunks that a reader
    may read now: every citation is held against them once more. `beside` reads the chunks next to some, so
    that nothing is computed over half a table. `ask_back` may find that a question can mean
    several things, and says what to ask. `languages`: those the embedder was trained for, empty: not stated.
    """

    def __init__(
        self,
        retriever: Retriever,
        vectors: Vectors,
        settings: AnsweringSettings,
        voices: Voices,
        accountant: Accountant,
        *,
        epoch: Callable[[], str] | None = None,
        live: Live | None = None,
        beside: Beside | None = None,
        ask_back: AskBack | None = None,
        languages: Collection[str] = (),
    ) -> None:
        self.retriever, self.vectors, self.settings = retriever, vectors, settings
        self.voices, self.accountant = voices, accountant
        self.epoch, self.live, self.beside, self.ask_back = epoch, live, beside, ask_back
        self.languages = languages
        self.clerk = Clerk(voices, accountant, vectors, settings)
        high = settings.profile in (Profile.HIGH, Profile.RESTRICTED)
        self.memory = AnswerMemory(CachePolicy.OFF if high else CachePolicy(settings.cache))

    def ask(
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
        request_id: str = "",
        before: str = "",
        most: float = 0.0,
    ) -> AsyncIterator[Event]:
        """The answer as it becomes certain: Sources, then Delta, then Final. A failed search raises.

        `only`: documents to answer from. `before`: the tier of the conversation's last answer. `most`: what
        it may cost, 0: as set. The text of Final is the deltas put together, unless a cited document was
        removed, replaced or closed to the reader meanwhile: then it is a refusal.
        """
        if manner.schema and tier == Tier.EXTRACT:
            raise BadRequest("JSON answers are worded by a model: ask a tier that has one, not extract")
        account = Account()

        async def story() -> AsyncIterator[Event]:
            CHILD_CPU.set(account.children)
            wording = standalone(question, history)
            docket = await self.clerk.open(
                question,
                wording,
                principal,
                tier=tier,
                history=history,
                collection=collection,
                manner=manner,
                request_id=request_id,
                before=before,
                most=most,
            )
            with docket.ticket:
                # Before the search: a document removed from here on may be among its passages.
                epoch = self.epoch() if self.epoch else None
                with span("retrieve") as looking:
                    found = await self.retriever.search(
                        question, principal, collection=collection, limit=limit, history=history, only=only
                    )
                    looking.note(passages=len(found))
                yield Sources(tuple(found))
                account.lap("retrieve")
                case = Case(
                    wording,
                    principal,
                    tuple(found),
                    shortened(manner, docket),
                    docket,
                    account,
                    Citations(self.settings.max_quotes),
                    epoch,
                )
                events = self._remembered(case, tier or "auto")
                async with aclosing(events):  # type: ignore[type-var]
                    async for event in events:
                        yield event

        return flowing(story())

    async def _remembered(self, case: Case, named: str) -> AsyncIterator[Delta | Final]:
        """The answer that was given to the same question before, or a new one; checked and booked."""
        manner, account = case.manner, case.account
        self.memory.at(case.epoch)
        recipe = f"{recipe_of(self.settings, self.voices.digest)}\n{manner}"
        situation = Situation.of(case.principal, named, recipe, case.passages)
        answer = None
        if memorable := not manner.temperature and manner.logprobs is None:
            answer = self.memory.find(case.question, situation) or await self.memory.find_alike(
                case.question, situation, self.vectors
            )
        if answer:
            account.lap("recall")
            answer = replace(answer, passages=case.passages, usage=account.usage)
            yield Delta(answer.text, answer.citations)
        else:
            events = self._answer(case)
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Final):
                        answer = event.answer
                    else:
                        yield event
            assert answer is not None
        answer = await self._checked(answer, case)
        known = answer.tier == Tier.EXTRACT or answer.model_sha256
        if memorable and known and answer.outcome is not Outcome.CLARIFY:
            self.memory.keep(case.question, situation, replace(answer, cached=""))
        yield Final(await self._booked(case, answer))

    async def _answer(self, case: Case) -> AsyncIterator[Delta | Final]:
        """An answer that nobody was given before."""
        account, passages = case.account, case.passages
        if self.ask_back and (back := self.ask_back(case.question, passages)):
            await self.clerk.narrow(case.docket, 0, case.manner)
            yield case.delta(back)
            yield Final(self._final(case, Outcome.CLARIFY))
            return
        if not case.manner.schema and (computed := await self._computed(case)):
            account.lap("compute")
            await self.clerk.narrow(case.docket, 0, case.manner)
            case.citations = Citations(MOST_ROWS)
            yield case.delta(computed.shown(case.citations))
            yield Final(self._final(case, Outcome.COMPUTED, PRECISION))
            return
        most = min(self.settings.max_quotes, case.docket.ticket.plan.passages or self.settings.max_quotes)
        with span("choose", passages=len(passages)) as choosing:
            who = {"reader": case.reader, "epoch": case.epoch or ""}
            selection = await choose(
                case.question, passages, self.vectors, limit=most, languages=self.languages, **who
            )
            choosing.note(quotes=len(selection.quotes))
        account.lap("quotes")
        come_from: list[Material] = []
        if self.voices.has_external:
            come_from = await sources(selection, case.question, case.principal, live=self.live)
        await self.clerk.decide(case.docket, passages, selection, come_from, case.manner)
        outcome = Outcome.NOT_FOUND
        unchecked: tuple[str, ...] = ()
        if not selection.answers(declined_below(self.settings)):
            await self.clerk.narrow(case.docket, 0, case.manner)
            yield case.delta(refusal(case.question, passages))
        elif case.manner.schema:
            outcome, delta, unchecked = await self._structure(case, selection)
            yield delta
        else:
            async for delta in self._word(case, selection):
                outcome = Outcome.ANSWERED
                yield delta
            if case.declined and not case.shown:
                yield case.delta(refusal(case.question, passages))
                yield Final(self._final(case, Outcome.NOT_FOUND))
                return
            for quote in selection.quotes:
                case.citations.add(quote.passage, quote.sentence, score=quote.similarity)
            if not case.shown:
                outcome = Outcome.QUOTED
                yield case.delta(quoted(case.citations))
        if case.inquiry:
            # The next question is often about the same documents.
            case.inquiry.expect(worth_warming(passages, budget_tokens=self.settings.context_tokens))
        account.lap("ground")
        answer = self._final(case, outcome, selection.confidence)
        yield Final(replace(answer, unchecked=unchecked))

    async def _computed(self, case: Case) -> Computed | None:
        """What a table gives; where any row counts, only once no part of that table is missing."""
        passages = list(case.passages)
        for _ in range(MOST_PARTS):
            found = await asyncio.to_thread(compute, case.question, passages)
            if found is None or not found.reckoning.whole or self.beside is None:
                return found
            cited = list({passage.chunk.id for passage, _ in found.rows})
            beside = await asyncio.to_thread(self.beside, cited, case.principal)
            if not (missing := cut_off(found, beside)):
                return found
            passages += missing
        return None

    async def _word(self, case: Case, selection: Selection) -> AsyncIterator[Delta]:
        """The model's sentences that a passage supports; none where no model is asked.

        Where a dearer tier could try again, nothing is shown before the draft is known to be good.
        """
        while drafter := await self._drafter(case, selection):
            tally, kept = Tally(), list[Said]()
            rises = self.clerk.may_rise(case.docket)
            case.citations = Citations(max(self.settings.max_quotes, drafter.ability.sentences))
            said = worded(case.question, drafter, self.vectors, case.citations, case.account, tally)
            async with aclosing(said):  # type: ignore[type-var]
                async for each in said:
                    if rises:
                        kept.append(each)
                    else:
                        yield case.delta(each.text, each.tokens)
            draft = Draft(tally.sentences, tally.supported, case.account.finish == "length")
            case.docket.drafts[case.docket.tier] = draft.share
            case.declined = tally.declined
            if not rises or not await self.clerk.after(case.docket, draft, case.manner):
                for each in kept:
                    yield case.delta(each.text, each.tokens)
                return
            case.citations = Citations(self.settings.max_quotes)

    async def _structure(self, case: Case, selection: Selection) -> tuple[Outcome, Delta, tuple[str, ...]]:
        """JSON all of whose values the passages hold, or a refusal that names those they do not."""
        case.citations = Citations(MOST_VALUES)
        drafter = await self._drafter(case, selection)
        if drafter is None:
            raise BadRequest("JSON answers are worded by a model, and none may answer this; ask for text")
        text, backed = await structured(case.question, drafter, case.citations, case.account)
        if backed.missing:
            case.citations = Citations(0)
            return (
                Outcome.NOT_FOUND,
                case.delta(reply("unbacked", case.question, values=", ".join(backed.missing))),
                (),
            )
        case.shown = text
        return Outcome.ANSWERED, Delta(text, case.citations.all), backed.unchecked

    async def _drafter(self, case: Case, selection: Selection) -> Drafter | None:
        """Who drafts for the tier that was chosen; None where quotes are all there is."""
        voice, tier = self.clerk.voice(case.docket), case.docket.tier
        if voice is None:
            await self.clerk.narrow(case.docket, 0, case.manner)
            return None
        reading = await reading_for(
            voice,
            case.docket,
            selection,
            case.question,
            case.passages,
            live=self.live,
            budget_tokens=self.settings.context_tokens,
        )
        speaker = voice.speak(case.principal, reading.materials)
        if isinstance(speaker, Cleared):
            case.sent.append(speaker)
            case.docket.ticket.sending(speaker, tier=tier)
        else:
            case.docket.ticket.generating()
        case.inquiry = Inquiry(speaker, case.epoch)

        def booked(finished: Finished) -> None:
            case.docket.ticket.add(work_of(finished), tier=tier, model=case.account.model)

        async def packed(tokens: int) -> None:
            await self.clerk.narrow(case.docket, tokens, case.manner)

        case.account.on_packed, case.account.on_finished = packed, booked
        return Drafter(case.inquiry, self.settings, voice, case.principal, case.manner, reading)

    async def _checked(self, answer: Answer, case: Case) -> Answer:
        """The answer if every citation still stands for this reader, else a refusal."""
        if not self.live or not answer.citations:
            return answer
        live = await asyncio.to_thread(
            self.live, [each.chunk_id for each in answer.citations], case.principal
        )
        if all(stands(each, live) for each in answer.citations):
            return answer
        return replace(
            answer,
            text=refusal(case.question, ()),
            outcome=Outcome.NOT_FOUND,
            citations=(),
            passages=(),
            confidence=None,
        )

    async def _booked(self, case: Case, answer: Answer) -> Answer:
        """The answer with what it took and what it cost, which is in the ledger by now."""
        account, docket = case.account, case.docket
        ticket = docket.ticket
        ticket.add(Work(cpu_s=account.children.seconds), tier=answer.tier)
        charge = await asyncio.to_thread(docket.settle, answer)
        told = "; ".join(each.egress for each in case.sent if each.receipt)
        return replace(
            answer,
            cost=charge.cost(account.cpu_s),
            seconds={**account.seconds, "total": sum(account.seconds.values())},
            egress=told or "nothing left this machine",
            warnings=(*docket.warnings, *charge.warnings),
            why=docket.why(answer.tier),
        )

    def _final(self, case: Case, outcome: Outcome, confidence: float | None = None) -> Answer:
        account, tier = case.account, case.docket.tier
        # Quotes and figures are nobody's words, whoever was to word them.
        if case.inquiry is None:
            tier = self.voices.names[0] if outcome in (Outcome.COMPUTED, Outcome.CLARIFY) else tier
        voice = self.voices.of.get(tier) if case.inquiry else None
        cited = {each.chunk_id for each in case.citations.all}
        found = conflicts(case.passages) if cited else []
        return Answer(
            text=case.shown,
            outcome=outcome,
            tier=tier,
            citations=case.citations.all,
            passages=case.passages,
            usage=account.usage,
            cost=Cost(0.0, self.accountant.settings.cost.currency, 0.0, ""),
            model=account.model,
            model_sha256=voice.sha256 if voice else "",
            confidence=confidence,
            finish=account.finish,
            notes=tuple(each.told for each in found if cited & {each.newer.chunk.id, each.older.chunk.id}),
        )


def shortened(manner: Manner, docket: Docket) -> Manner:
    """The manner within what was reserved."""
    most = docket.ticket.plan.max_tokens
    return replace(manner, max_tokens=min(manner.max_tokens or most, most)) if most else manner


__all__ = ["Assistant", "Delta", "Event", "Final", "Sources"]
