"""THE STORY OF A QUERY: retrieve, judge, word, ground, cite, account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rag.answering.account import Account
from rag.answering.brief import refusal
from rag.answering.citations import Citations, spoken
from rag.answering.drafting import Drafter
from rag.answering.editions import outdated
from rag.answering.grounding import Support, ground
from rag.answering.questions import says_something
from rag.answering.quotes import Selection, choose
from rag.cost.meter import Meter
from rag.engine.generator import Generator
from rag.models.lockfile import ChatTemplate
from rag.retrieval.question import standalone
from rag.retrieval.retriever import Retriever
from rag.settings import AnsweringSettings
from rag.store.vectors import Vectors
from rag.types import Answer, Message, Outcome, Passage, Principal, Tier


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


class Assistant:
    """Answers questions from the documents, and never from the model alone."""

    def __init__(
        self,
        retriever: Retriever,
        generator: Generator,
        vectors: Vectors,
        meter: Meter,
        settings: AnsweringSettings,
        template: ChatTemplate,
    ) -> None:
        self.retriever, self.vectors, self.meter = retriever, vectors, meter
        self.drafter, self.settings = Drafter(generator, settings, template), settings

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
        """The answer as it becomes certain: Sources, then Delta, then Final. A failed search raises."""
        account = Account()
        tier = tier or self.settings.tier
        question = standalone(question, history)
        passages = tuple(await self.retriever.search(question, principal, collection=collection, limit=limit))
        yield Sources(passages)
        account.lap("retrieve")

        selection = await choose(question, passages, self.vectors, limit=self.settings.max_quotes)
        account.lap("quotes")

        citations = Citations(self.settings.max_quotes)
        shown: list[str] = []
        outcome = Outcome.NOT_FOUND
        if not selection.answers:
            shown.append(refusal(passages))
            yield Delta(shown[0])
        elif tier is Tier.SMALL:
            worded = self._word(question, principal, selection, citations, account)
            async with aclosing(worded):  # type: ignore[type-var]
                async for text in worded:
                    outcome = Outcome.ANSWERED
                    shown.append(text)
                    yield Delta(text)
        if selection.answers:
            for quote in selection.quotes:
                citations.add(quote.passage, quote.sentence, score=quote.similarity)
            if not shown:
                outcome = Outcome.QUOTED
                shown.append(quoted(citations))
                yield Delta(shown[0])
        account.lap("ground")
        yield Final(self._final("".join(shown), outcome, tier, citations, passages, account))

    async def _word(
        self,
        question: str,
        principal: Principal,
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
        drafts = self.drafter.draft(question, principal, chosen, account)
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
        )


def cited(support: Support, citations: Citations) -> int | None:
    """The marker for a supported sentence; None when it is not, or would need one citation too many."""
    verdict = support.verdict
    if not verdict.supported or verdict.evidence is None or support.passage is None:
        return None
    return citations.add(support.passage, verdict.evidence, score=support.similarity)


def quoted(citations: Citations) -> str:
    """The quotes as an answer."""
    return "\n".join(f"{spoken(each)} [{each.marker}]" for each in citations.all)
