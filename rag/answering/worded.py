"""The model's sentences that a passage supports, each with its marker; nothing else gets out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from rag.answering.ability import declines
from rag.answering.account import Account
from rag.answering.citations import Citations
from rag.answering.drafting import Drafter
from rag.answering.grounding import Support, ground
from rag.answering.questions import adds_something, says_something
from rag.answering.structured import Backing, backing
from rag.engine.generator import Logprob
from rag.observability.tracing import span
from rag.store.vectors import Vectors


@dataclass(slots=True)
class Tally:
    """Sentences that a model said, and how many of them a passage supports.

    `declined`: it said, before anything that counted, that the passages do not answer.
    """

    sentences: int = 0
    supported: int = 0
    declined: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A supported sentence with its marker, and the tokens it was drawn as, where they were asked for."""

    text: str
    tokens: tuple[Logprob, ...] = ()


async def worded(
    question: str,
    drafter: Drafter,
    vectors: Vectors,
    citations: Citations,
    account: Account,
    tally: Tally,
) -> AsyncIterator[Said]:
    """Draft sentence by sentence and keep what is grounded. Closing it stops the generator."""
    said: set[str] = set()
    is_answer = adds_something if drafter.ability.sentences > 1 else says_something
    drafts = drafter.draft(question, account)
    async with aclosing(drafts):  # type: ignore[type-var]
        async for draft in drafts:
            account.lap("generate")
            sentence = draft.text
            if sentence in said:
                continue
            tally.sentences += 1
            marker = None
            if said or is_answer(question, sentence):
                with span("ground", passages=len(drafter.passages)):
                    support = await ground(sentence, drafter.passages, vectors, question=question)
                account.lap("ground")
                marker = cited(support, citations)
            if marker:
                yield Said(f"{' ' if said else ''}{sentence} [{marker}]", draft.tokens)
                said.add(sentence)
                tally.supported += 1
            elif drafter.ability.may_decline and not said and declines(sentence):
                tally.declined = True
    account.lap("generate")


async def structured(
    question: str, drafter: Drafter, citations: Citations, account: Account
) -> tuple[str, Backing]:
    """The model's JSON, and how far the passages hold its values."""
    text = await drafter.whole(question, account)
    account.lap("generate")
    backed = backing(text, drafter.sampling.json_schema, drafter.passages, citations)
    account.lap("ground")
    return text, backed


def cited(support: Support, citations: Citations) -> int | None:
    """The marker for a supported sentence; None when it is not, or would need one citation too many."""
    verdict = support.verdict
    if not verdict.supported or verdict.evidence is None or support.passage is None:
        return None
    return citations.add(support.passage, verdict.evidence, score=support.similarity)
