"""THE STORY OF A QUERY: retrieve, recall or judge, compute or word, ground, cite, account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from rag.answering.account import Account
from rag.answering.brief import refusal, worth_warming
from rag.answering.citations import Citations, quoted, stands
from rag.answering.confidence import DECLINED_BELOW
from rag.answering.drafting import Drafter
from rag.answering.editions import outdated
from rag.answering.grounding import Support, ground
from rag.answering.memory import AnswerMemory, CachePolicy, Situation, recipe_of
from rag.answering.questions import says_something
from rag.answering.quotes import Selection, choose
from rag.answering.tables.evidence import MOST_ROWS, PRECISION, compute
from rag.cost.meter import Meter
from rag.engine.generator import Generator
from rag.engine.inquiry import Inquiry
from rag.errors import RagError
from rag.models.lockfile import ChatTemplate
from rag.retrieval.question import standalone
from rag.retrieval.retriever import Retriever
from rag.settings import AnsweringSettings
from rag.store.catalog import StoredChunk
from rag.store.vectors import Vectors
from rag.types import Answer, Message, Outcome, Passage, Principal, Profile, Tier


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found, before anything is worded."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """Some more of the answer: only text that passed the grounding check, or is quoted."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The answer, whole. Its text is the deltas put together."""

    answer: Answer


Event = Sources | Delta | Final


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
        tier: Tier | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Event]:
        """The answer as it becomes certain: Sources, then Delta, then Final. A failed search raises.

        The text of Final is the deltas put together, unless a cited document was removed, replaced or closed
        to the reader meanwhile: then it is a refusal.
        """
        account = Account()
        tier = tier or self.settings.tier
        if self.barred and tier is not Tier.EXTRACT:
            raise self.barred
        asked, question = question, standalone(question, history)
        # Before the search: a document removed from here on may be among its passages.
        epoch = self.epoch() if self.epoch else None
        found = await self.retriever.search(
            asked, principal, collection=collection, limit=limit, history=history
        )
        passages = tuple(found)
        yield Sources(passages)
        account.lap("retrieve")

        self.memory.at(epoch)
        recipe = recipe_of(self.settings, self.model_sha256)
        situation = Situation.of(principal, tier, recipe, passages)
        vector = await self._vector(question)
        answer = self.memory.find(question, situation) or self.memory.find_alike(question, vector, situation)
        if answer:
            account.lap("recall")
            answer = replace(
                answer, passages=passages, usage=account.usage, cost=self.meter.cost(account.cpu_s)
            )
            answer = replace(answer, seconds={**account.seconds, "total": sum(account.seconds.values())})
            yield Delta(answer.text)
        else:
            inquiry = Inquiry(self.generator, epoch)
            async for event in self._answer(question, principal, passages, tier, inquiry, account):
                if isinstance(event, Final):
                    answer = event.answer
                else:
                    yield event
            assert answer is not None
        answer = await self._checked(answer, principal)
        if answer.outcome is not Outcome.CLARIFY and (tier is Tier.EXTRACT or self.model_sha256):
            self.memory.keep(question, situation, replace(answer, cached=""), vector)
        yield Final(answer)

    async def _answer(
        self,
        question: str,
        principal: Principal,
        passages: tuple[Passage, ...],
        tier: Tier,
        inquiry: Inquiry,
        account: Account,
    ) -> AsyncIterator[Delta | Final]:
        """An answer that nobody was given before."""
        if self.ask_back and (back := self.ask_back(question, passages)):
            yield Delta(back)
            yield Final(self._final(back, Outcome.CLARIFY, tier, Citations(1), passages, account))
            return
        if computed := compute(question, passages):
            account.lap("compute")
            citations = Citations(MOST_ROWS)
            text = computed.shown(citations)
            yield Delta(text)
            yield Final(self._final(text, Outcome.COMPUTED, tier, citations, passages, account, PRECISION))
            return
        selection = await choose(question, passages, self.vectors, limit=self.settings.max_quotes)
        account.lap("quotes")
        citations = Citations(self.settings.max_quotes)
        shown: list[str] = []
        outcome = Outcome.NOT_FOUND
        answers = selection.answers(DECLINED_BELOW[self.settings.profile])
        if not answers:
            shown.append(refusal(passages))
            yield Delta(shown[0])
        elif tier is Tier.SMALL:
            worded = self._word(question, principal, inquiry, selection, citations, account)
            async with aclosing(worded):  # type: ignore[type-var]
                async for text in worded:
                    outcome = Outcome.ANSWERED
                    shown.append(text)
                    yield Delta(text)
            # The next question is often about the same documents.
            inquiry.expect(worth_warming(passages, budget_tokens=self.settings.context_tokens))
        if answers:
            for quote in selection.quotes:
                citations.add(quote.passage, quote.sentence, score=quote.similarity)
            if not shown:
                outcome = Outcome.QUOTED
                shown.append(quoted(citations))
                yield Delta(shown[0])
        account.lap("ground")
        final = self._final("".join(shown), outcome, tier, citations, passages, account, selection.confidence)
        yield Final(final)

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

    async def _word(
        self,
        question: str,
        principal: Principal,
        inquiry: Inquiry,
        selection: Selection,
        citations: Citations,
        account: Account,
    ) -> AsyncIterator[str]:
        """The model's sentences that a passage supports, each with its marker; nothing else gets out."""
        # A small model reads two passages better than eight, for less prefill: those with the quotes.
        chosen = list(dict.fromkeys(quote.passage for quote in selection.quotes))
        old = outdated(chosen, question)
        chosen = [passage for passage in chosen if passage.document_id not in old]
        said: set[str] = set()
        drafter = Drafter(inquiry, self.settings, self.template)
        drafts = drafter.draft(question, principal, chosen, account)
        async with aclosing(drafts):  # type: ignore[type-var]
            async for sentence in drafts:
                account.lap("generate")
                if sentence in said or not (said or says_something(question, sentence)):
                    continue
                support = await ground(sentence, chosen, self.vectors, question=question)
                account.lap("ground")
                if marker := cited(support, citations):
                    yield f"{' ' if said else ''}{sentence} [{marker}]"
                    said.add(sentence)
        account.lap("generate")

    def _final(
        self,
        text: str,
        outcome: Outcome,
        tier: Tier,
        citations: Citations,
        passages: tuple[Passage, ...],
        account: Account,
        confidence: float | None = None,
    ) -> Answer:
        return Answer(
            text=text,
            outcome=outcome,
            tier=tier,
            citations=citations.all,
            passages=passages,
            usage=account.usage,
            cost=self.meter.cost(account.cpu_s),
            seconds={**account.seconds, "total": sum(account.seconds.values())},
            model=account.model,
            confidence=confidence,
        )


def cited(support: Support, citations: Citations) -> int | None:
    """The marker for a supported sentence; None when it is not, or would need one citation too many."""
    verdict = support.verdict
    if not verdict.supported or verdict.evidence is None or support.passage is None:
        return None
    return citations.add(support.passage, verdict.evidence, score=support.similarity)
