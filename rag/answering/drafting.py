"""The model's own words, one whole sentence at a time. Nothing here is checked yet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from rag.answering.account import Account
from rag.answering.brief import marked, messages, pack
from rag.answering.sentences import sentences
from rag.engine.generator import Finished, Generator, Reuse, Sampling, Terms
from rag.engine.prompt import Piece, render
from rag.models.lockfile import ChatTemplate
from rag.settings import AnsweringSettings
from rag.types import Passage, Principal

# What small models put before the answer itself.
PREAMBLE = re.compile(
    r"^(?:the|an?) answer(?: to (?:the|this|your) question)? is(?: that)?[:,]?\s+(\w)", re.IGNORECASE
)


class Drafter:
    """Asks the generator with a question and passages."""

    def __init__(
        self,
        generator: Generator,
        settings: AnsweringSettings,
        template: ChatTemplate,
        reuse: Reuse = Reuse.APPROXIMATE,
    ) -> None:
        self.template = template
        # Approximate where the model's gate was passed: the engine falls back to exact where it was not.
        self.generator, self.settings, self.reuse = generator, settings, reuse

    async def draft(
        self, question: str, principal: Principal, passages: Sequence[Passage], account: Account
    ) -> AsyncIterator[str]:
        """The sentences as they come; an unfinished last one is dropped. Closing it stops the generator."""
        prompt = await self._prompt(question, passages, account)
        sampling = Sampling(
            max_tokens=self.settings.max_tokens,
            stop=("\n\n", "\nQuestion"),
            verbatim=self.settings.verbatim,
        )
        # Cached KV is shared only among those who may read the same documents.
        terms = Terms(namespace=principal.readership, user=principal.user or principal.key, reuse=self.reuse)
        text, given = "", 0
        events = self.generator.stream(prompt, sampling, terms)
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                ended = False
                if isinstance(event, Finished):
                    account.settle(event)
                    ended = event.reason == "stop"
                else:
                    text += event.text
                for sentence in sentences(text)[given : None if ended else -1]:
                    given += 1
                    yield PREAMBLE.sub(lambda lead: lead[1].upper(), sentence.text, count=1)

    async def _prompt(self, question: str, passages: Sequence[Passage], account: Account) -> list[Piece]:
        packed = await pack(passages, self.generator, budget_tokens=self.settings.context_tokens)
        account.model = str((await self.generator.info())["name"])
        return marked(render(messages(question, packed), self.template), packed)
