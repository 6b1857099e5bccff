"""The model's own words, one whole sentence at a time, or all at once. Nothing here is checked yet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rag.answering.account import Account
from rag.answering.brief import counted, marked, messages
from rag.answering.manner import Manner
from rag.answering.reading import Reading
from rag.answering.sentences import sentences
from rag.engine.generator import Finished, Generator, Logprob
from rag.engine.prompt import Piece, render
from rag.observability.tracing import span
from rag.routing.voices import Voice
from rag.settings import AnsweringSettings
from rag.types import Principal

# What small models put before the answer itself.
PREAMBLE = re.compile(
    r"^(?:the|an?) answer(?: to (?:the|this|your) question)? is(?: that)?[:,]?\s+(\w)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A sentence of the model, and the tokens it was drawn as, where their probabilities were asked for."""

    text: str
    tokens: tuple[Logprob, ...] = ()


class Drafter:
    """Asks a voice about what it is to read, on behalf of one reader and in one manner."""

    def __init__(
        self,
        generator: Generator,
        settings: AnsweringSettings,
        voice: Voice,
        principal: Principal,
        manner: Manner,
        reading: Reading,
    ) -> None:
        self.generator, self.template, self.ability = generator, voice.template, voice.ability
        self.passages, self.budget_tokens = reading.passages, reading.budget_tokens
        self.terms, self.sampling = manner.terms(principal), manner.sampling(settings)

    async def draft(self, question: str, account: Account) -> AsyncIterator[Draft]:
        """The sentences as they come; an unfinished last one is dropped. Closing it stops the generator."""
        prompt = await self._prompt(question, account)
        text, given = "", 0
        places: list[tuple[int, Logprob]] = []
        events = self.generator.stream(prompt, self.sampling, self.terms)
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                ended = False
                if isinstance(event, Finished):
                    account.settle(event)
                    ended = event.reason == "stop"
                else:
                    places += placed(event.logprobs, len(text))
                    text += event.text
                for sentence in sentences(text)[given : None if ended else -1]:
                    given += 1
                    drawn = tuple(each for at, each in places if sentence.start <= at < sentence.end)
                    yield Draft(PREAMBLE.sub(lambda lead: lead[1].upper(), sentence.text, count=1), drawn)

    async def whole(self, question: str, account: Account) -> str:
        """All that the model says, as one text; cut off where its tokens ended."""
        prompt = await self._prompt(question, account)
        text = ""
        events = self.generator.stream(prompt, self.sampling, self.terms)
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Finished):
                    account.settle(event)
                else:
                    text += event.text
        return text

    async def _prompt(self, question: str, account: Account) -> list[Piece]:
        with span("prompt", passages=len(self.passages)):
            packed, tokens = await counted(
                question, self.passages, self.generator, budget_tokens=self.budget_tokens
            )
            if account.on_packed:
                await account.on_packed(tokens)
            account.model = str((await self.generator.info())["name"])
        return marked(render(messages(question, packed, self.ability), self.template), packed)


def placed(drawn: Sequence[Logprob], start: int) -> list[tuple[int, Logprob]]:
    """Tokens with where each begins in the text, the first of them at `start`."""
    places = []
    for each in drawn:
        places.append((start, each))
        start += len(each.text)
    return places
