"""The model's sentences that a passage supports, each with its marker; nothing else gets out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from rag.answering.account import Account
from rag.answering.citations import Citations
from rag.answering.drafting import Drafter
from rag.answering.editions import outdated
from rag.answering.grounding import Support, ground
from rag.answering.questions import says_something
from rag.answering.quotes import Selection
from rag.answering.structured import Backing, backing
from rag.engine.generator import Logprob
from rag.observability.tracing import span
from rag.store.vectors import Vectors
from rag.types import Passage


@dataclass(slots=True)
class Tally:
    """Sentences that a model said, and how many of them a passage supports."""

    sentences: int = 0
    supported: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A supported sentence with its marker, and the tokens it was drawn as, where they were asked for."""

    text: str
    tokens: tuple[Logprob, ...] = ()


async def worded(
    question: str,
    selection: Selection,
    drafter: Drafter,
    vectors: Vectors,
    citations: Citations,
    account: Account,
    tally: Tally,
) -> AsyncIterator[Said]:
    """Draft sentence by sentence and keep what is grounded. Closing it stops the generator."""
    chosen = to_read(selection, question)
    said: set[str] = set()
    drafts = drafter.draft(question, chosen, account)
    async with aclosing(drafts):  # type: ignore[type-var]
        async for draft in drafts:
            account.lap("generate")
            sentence = draft.text
            tally.sentences += sentence not in said
            if sentence in said or not (said or says_something(question, sentence)):
                continue
            with span("ground", passages=len(chosen)):
                support = await ground(sentence, chosen, vectors, question=question)
            account.lap("ground")
            if marker := cited(support, citations):
                yield Said(f"{' ' if said else ''}{sentence} [{marker}]", draft.tokens)
                said.add(sentence)
                tally.supported += 1
    account.lap("generate")


async def structured(
    question: str, selection: Selection, drafter: Drafter, citations: Citations, account: Account
) -> tuple[str, Backing]:
    """The model's JSON, and how far the passages hold its values."""
    chosen = to_read(selection, question)
    text = await drafter.whole(question, chosen, account)
    account.lap("generate")
    backed = backing(text, drafter.sampling.json_schema, chosen, citations)
    account.lap("ground")
    return text, backed


def to_read(selection: Selection, question: str) -> list[Passage]:
    """What the model reads: the passages of the quotes, without editions that are out of date.

    A small model reads two passages better than eight, for less prefill.
    """
    chosen = list(dict.fromkeys(quote.passage for quote in selection.quotes))
    old = outdated(chosen, question)
    return [passage for passage in chosen if passage.document_id not in old]


def cited(support: Support, citations: Citations) -> int | None:
    """The marker for a supported sentence; None when it is not, or would need one citation too many."""
    verdict = support.verdict
    if not verdict.supported or verdict.evidence is None or support.passage is None:
        return None
    return citations.add(support.passage, verdict.evidence, score=support.similarity)
