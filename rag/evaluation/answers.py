"""How right, how honest and how well founded whole answers are, asked as the product asks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from functools import partial

from rag.answering.events import Delta, Final
from rag.answering.grounding import COVERAGE, coverage, literal, windows
from rag.answering.sentences import sentences
from rag.errors import WorkerError
from rag.evaluation.benchmark import Item
from rag.evaluation.desk import Desk, patiently
from rag.evaluation.record import DECLINED, Asked
from rag.evaluation.retrieval import SHOWN, shown
from rag.evaluation.scores import contains, exact, f1, numeric, recall
from rag.types import Answer, Outcome, Passage

MARKER = re.compile(r" ?\[\d+\]")
ENOUGH_WORDS = 0.5  # of a long gold answer, for an answer to count as right


async def answer_all(desk: Desk, items: Sequence[Item], tier: str | None = None) -> AsyncIterator[Asked]:
    """Every question, with its history where it follows others."""
    for item in items:
        answer, times = await patiently(partial(ask, desk, item, tier))
        yield Asked(
            item.id,
            item.question,
            judged(desk, item, answer) | times,
            item.answers,
            answer=answer.text,
            outcome=answer.outcome,
            confidence=answer.confidence,
            model=answer.model,
            passages=shown(desk, answer.passages[:SHOWN], item),
        )


async def ask(desk: Desk, item: Item, tier: str | None) -> tuple[Answer, dict[str, float]]:
    """One whole answer, and what it took."""
    started = desk.clock()
    first_s: float | None = None
    found: tuple[Answer, dict[str, float]] | None = None
    async for event in desk.ask(item.question, history=item.history, tier=tier):
        # To the end: what comes behind the answer is its accounting.
        if isinstance(event, Delta) and first_s is None:
            first_s = desk.clock() - started
        elif isinstance(event, Final):
            found = event.answer, costs(event.answer, desk.clock() - started, first_s)
    if found is None:
        raise WorkerError(f"the answer to {item.question!r} ended before it was whole")
    return found


def costs(answer: Answer, total_s: float, first_s: float | None) -> dict[str, float]:
    """What an answer took, and whether it had been given before: then its times are those of a memory."""
    return {
        "seconds": total_s,
        "first word": total_s if first_s is None else first_s,
        "cost": answer.cost.amount,
        "tokens": float(answer.usage.prompt_tokens + answer.usage.completion_tokens),
        "from memory": float(bool(answer.cached)),
    }


def judged(desk: Desk, item: Item, answer: Answer) -> dict[str, float]:
    """Every score that this question and answer have."""
    declined = is_declined(answer)
    found = {"right": float(declined if not item.answerable else not declined and right(item, answer))}
    if declined:
        found["rightly declined"] = float(not item.answerable)
    if not item.answerable:
        return found | {"declined": float(declined)}
    found |= {"answered": float(not declined)} | worded(item, answer)
    if not declined:
        found |= founded(item.question, answer) | cited(desk, item, answer)
    return found


def is_declined(answer: Answer) -> bool:
    """Whether the answer says that the documents do not say, or asks back."""
    return answer.outcome.value in DECLINED


def right(item: Item, answer: Answer) -> bool:
    """Whether the answer counts, as the question is to be scored. Quotes are part of an answer."""
    said = spoken(answer)
    match item.scoring:
        case "numeric":
            return numeric(plain(answer), item.answers, item.scale)
        case "list_f1":
            return all(contains(said, [one]) for one in item.answers)
        case "long":
            return recall(said, item.answers) >= ENOUGH_WORDS
        case "abstain":
            return False
        case _:
            return contains(said, item.answers)


def worded(item: Item, answer: Answer) -> dict[str, float]:
    """Scores against the gold answers; an answer that was declined has none of their words."""
    if not item.answers:
        return {}
    text = "" if is_declined(answer) else plain(answer)
    if item.scoring == "long":
        return {"recall": recall(text, item.answers), "f1": f1(text, item.answers)}
    found = {"em": float(exact(text, item.answers)), "f1": f1(text, item.answers)}
    if item.scoring == "numeric":
        return found | {"numeric": float(numeric(text, item.answers, item.scale))}
    said = "" if is_declined(answer) else spoken(answer)
    return found | {"contains": float(contains(said, item.answers))}


def founded(question: str, answer: Answer) -> dict[str, float]:
    """The share of what is shown that the cited passages support to the letter.

    Words of the model are checked once more, apart from the assistant; quotes must stand in their chunks.
    """
    chunks = {passage.chunk.id: passage for passage in answer.passages}
    sources = [chunks[each.chunk_id] for each in answer.citations if each.chunk_id in chunks]
    if answer.outcome is Outcome.ANSWERED:
        said = [each.text for each in sentences(plain(answer))]
        supported = [is_supported(text, sources, question) for text in said]
    else:
        supported = [
            each.chunk_id in chunks
            and chunks[each.chunk_id].chunk.text[each.start : each.end] == each.quote != ""
            for each in answer.citations
        ]
    return {"grounded": sum(supported) / len(supported)} if supported else {}


def is_supported(claim: str, sources: Sequence[Passage], question: str = "") -> bool:
    """Whether one sentence of a source passes every literal check and covers the claim's words.

    A word of the question may be repeated; its numbers and names must be in the source all the same.
    """
    return any(
        not literal(claim, window, question=question) and coverage(claim, window) >= COVERAGE
        for each in sources
        for window in windows(each.chunk, title=each.title)
    )


def cited(desk: Desk, item: Item, answer: Answer) -> dict[str, float]:
    """Precision and recall of the cited passages, and whether one of them holds a gold answer."""
    chunks = {passage.chunk.id: passage for passage in answer.passages}
    sources = [chunks[each.chunk_id] for each in answer.citations if each.chunk_id in chunks]
    found: dict[str, float] = {}
    if item.relevant:
        rows = [desk.row(each) for each in sources]
        good = [row in item.relevant for row in rows]
        found["citation precision"] = sum(good) / len(good) if good else 0.0
        found["citation recall"] = len(set(rows) & item.relevant.keys()) / len(item.relevant)
    if item.answers and item.scoring in ("em_f1", "f1_contains", "contains"):
        found["cites the answer"] = float(any(contains(each.chunk.text, item.answers) for each in sources))
    return found


def plain(answer: Answer) -> str:
    """The answer without its markers."""
    return MARKER.sub("", answer.text)


def spoken(answer: Answer) -> str:
    """The answer and the words that it quotes."""
    return "\n".join([plain(answer), *(citation.quote for citation in answer.citations)])
