"""The same questions over the same passages, put to two models: the reference and a smaller candidate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rag.answering import facts
from rag.answering.ability import SMALL, Ability
from rag.answering.brief import marked, messages, pack
from rag.answering.grounding import Window, literal, missing_date, missing_number, turned_around, windows
from rag.answering.quotes import choose
from rag.answering.reading import to_read
from rag.answering.sentences import sentences
from rag.engine.generator import Delta, Finished, Generator, Sampling, Terms
from rag.engine.prompt import render
from rag.evaluation.benchmark import Item
from rag.evaluation.library import Library
from rag.evaluation.scores import contains, numeric, recall
from rag.models.lockfile import ChatTemplate
from rag.retrieval.question import standalone
from rag.types import Passage

ENOUGH_WORDS = 0.5  # of a long gold answer
STOP = ("\n\n", "\nQuestion")


@dataclass(frozen=True, slots=True)
class Frozen:
    """A question with the passages that every model gets, and the document it is about."""

    item: Item
    question: str
    passages: tuple[Passage, ...]
    packed: tuple[str, ...]

    @property
    def cluster(self) -> str:
        """Questions about one document are right and wrong together."""
        return min(self.item.relevant, default=self.passages[0].document_id)

    @property
    def is_critical(self) -> bool:
        """Whether the answer turns on a number, a date, a unit or a negation."""
        return any(
            facts.quantities(gold, with_dates=True) or facts.negated(gold) for gold in self.item.answers
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What one model said to one question, and what is wrong with it.

    `malformed`: nothing, or no whole sentence. `uncitable`: no sentence that a passage supports.
    `false_fact`: a number, date, unit or negation that no passage has.
    """

    text: str
    right: bool
    malformed: bool
    uncitable: bool
    false_fact: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """One question in both models."""

    id: str
    question: str
    cluster: str
    critical: bool
    reference: Said
    candidate: Said


async def freeze(
    library: Library, items: Sequence[Item], reference: Generator, ability: Ability = SMALL
) -> AsyncIterator[Frozen]:
    """The passages of each answerable question, found once, and packed as the reference counts tokens."""
    system, answering = library.system, library.system.settings.answering
    for item in items:
        if not item.answerable or not item.answers:
            continue
        question = standalone(item.question, item.history)
        passages = await system.retriever.search(question, system.principal, collection=library.collection)
        chosen = await choose(
            question,
            passages,
            system.vectors,
            limit=answering.max_quotes,
            languages=system.assistant.languages,
        )
        quoted_from = to_read(chosen, question) or passages[:1]
        most = ability.passages
        if kept := to_read(chosen, question, passages, most) if most else quoted_from:
            packed = await pack(kept, reference, budget_tokens=answering.context_tokens)
            yield Frozen(item, question, tuple(kept), tuple(packed))


async def say(
    generator: Generator,
    template: ChatTemplate,
    frozen: Frozen,
    ability: Ability = SMALL,
    *,
    max_tokens: int,
) -> tuple[str, bool]:
    """What a model answers, greedily and alone in its steps; whether it came to an end by itself."""
    prompt = marked(render(messages(frozen.question, frozen.packed, ability), template), frozen.packed)
    sampling = Sampling(max_tokens=max_tokens, stop=STOP)
    text, ended = "", False
    events = generator.stream(prompt, sampling, Terms(replayable=True))
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Delta):
                text += event.text
            elif isinstance(event, Finished):
                ended = event.reason == "stop"
    return text.strip(), ended


def judged(frozen: Frozen, text: str, *, ended: bool) -> Said:
    """What is right and what is wrong with an answer."""
    sources = [window for each in frozen.passages for window in windows(each.chunk, title=each.title)]
    said = [each.text for each in sentences(text)]
    whole = said if ended else said[:-1]
    return Said(
        text,
        right=is_right(frozen.item, text),
        malformed=not whole,
        uncitable=not any(supported(each, sources, frozen.question) for each in whole),
        false_fact=any(invents_a_fact(each, sources) for each in whole),
    )


def is_right(item: Item, text: str) -> bool:
    """Whether the model's own words hold the gold answer, as the question is to be scored."""
    match item.scoring:
        case "numeric":
            return numeric(text, item.answers, item.scale)
        case "list_f1":
            return all(contains(text, [one]) for one in item.answers)
        case "long":
            return recall(text, item.answers) >= ENOUGH_WORDS
        case _:
            return contains(text, item.answers)


def supported(claim: str, sources: Sequence[Window], question: str) -> bool:
    """Whether a sentence could be shown with a citation."""
    return any(not literal(claim, window, question=question) for window in sources)


def invents_a_fact(claim: str, sources: Sequence[Window]) -> bool:
    """Whether no single sentence of the passages has the numbers, dates and polarity of the claim."""
    if not (facts.quantities(claim, with_dates=True) or facts.negated(claim)):
        return False
    checks = (missing_number, missing_date, turned_around)
    return all(any(check(claim, window) for check in checks) for window in sources)
