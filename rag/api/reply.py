"""Answers in OpenAI's chat shape, whole or as server-sent events; `rag` beside it holds what is ours."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from rag.api.asking import Errand, Numbered
from rag.api.conversation import Conversation
from rag.assistant import Delta, Final, Sources
from rag.conversations.turns import remember
from rag.engine.generator import Logprob
from rag.errors import RagError, WorkerError
from rag.types import Answer, Outcome, Usage
from rag.wire import ChatRequest, RagPart, error_body, rag_part, usage_part

# Ends of a line to Unicode and not to JSON, which leaves them as they are.
LINE_ENDS = {number: f"\\u{number:04x}" for number in (0x85, 0x2028, 0x2029)}
UNANSWERED = (Outcome.NOT_FOUND, Outcome.CLARIFY)


class Reply:
    """The answers to one request, `n` of them or one."""

    def __init__(self, body: ChatRequest, asked: Conversation, errand: Errand) -> None:
        self.body, self.asked, self.errand = body, asked, errand
        self.kept: tuple[str, str] | None = None
        system = errand.system
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
        self.head["system_fingerprint"] = f"fp_{system.model_sha256[:12]}" if system.model_sha256 else None

    async def whole(self, events: AsyncIterator[Numbered]) -> dict[str, Any]:
        """The answers as one object."""
        found: dict[int, Answer] = {}
        drawn: dict[int, list[Logprob]] = {}
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            async for number, event in open_events:
                if isinstance(event, Final):
                    found[number] = event.answer
                    await self.keep(number, event.answer)
                elif isinstance(event, Delta):
                    drawn.setdefault(number, []).extend(event.tokens)
        if len(found) < (self.body.n or 1):
            raise WorkerError("the answer ended before it was whole; ask again")
        answers = [found[number] for number in sorted(found)]
        return self.completion(answers, [drawn.get(number, []) for number in sorted(found)])

    def completion(self, answers: Sequence[Answer], drawn: Sequence[Sequence[Logprob]]) -> dict[str, Any]:
        """What a whole reply says."""
        choices = []
        for number, (answer, tokens) in enumerate(zip(answers, drawn, strict=True)):
            choice: dict[str, Any] = {
                "index": number,
                "message": {"role": "assistant", **self.said(answer)},
                "finish_reason": answer.finish,
                "logprobs": self.logprobs(tokens),
            }
            if len(answers) > 1:
                choice["rag"] = self.rag(answer)
            choices.append(choice)
        usage = usage_part(of_choices([answer.usage for answer in answers]))
        head = {**self.head, "object": "chat.completion"}
        return {**head, "choices": choices, "usage": usage, "rag": self.rag(answers[0])}

    async def stream(self, first: Numbered, events: AsyncIterator[Numbered]) -> AsyncGenerator[str, None]:
        """The answers as events: role, text, then for each a last chunk with the `rag` object."""
        lines = Typed(self) if self.body.rag.events == "typed" else Plain(self)
        for line in lines.begin(self.body.n or 1):
            yield line
        async with contextlib.aclosing(events) as open_events:  # type: ignore[type-var]
            try:
                for line in lines.of(*first):
                    yield line
                async for number, event in open_events:
                    if isinstance(event, Final):
                        await self.keep(number, event.answer)
                    for line in lines.of(number, event):
                        yield line
                for line in lines.end():
                    yield line
            except RagError as error:
                yield lines.failed(error)

    async def keep(self, number: int, answer: Answer) -> None:
        """Put question and answer into the conversation, where one is named: the first of several answers."""
        if self.body.rag.conversation and not number:
            self.kept = await remember(
                self.errand.system,
                self.errand.caller,
                self.body.rag.conversation,
                self.asked.question,
                answer,
            )

    def said(self, answer: Answer) -> dict[str, str | None]:
        """Content and refusal. Where JSON was asked for, a sentence that is none is no content."""
        if refuses(self.asked.manner.schema, answer):
            return {"content": None, "refusal": answer.text}
        return {"content": answer.text, "refusal": None}

    def logprobs(self, tokens: Sequence[Logprob]) -> dict[str, Any] | None:
        """Natural logarithms in OpenAI's shape, of the tokens that are shown; quotes were not drawn."""
        if not self.body.logprobs:
            return None
        return {"content": [chance(each) for each in tokens], "refusal": None}

    def rag(self, answer: Answer) -> dict[str, Any]:
        """What is ours beside OpenAI's fields."""
        part: RagPart = rag_part(
            answer,
            passages=self.body.rag.passages,
            model_sha256=self.errand.system.model_sha256,
            ignored=list(self.asked.ignored),
        )
        if self.kept:
            part.conversation, part.message = self.kept
        return part.model_dump(mode="json")


class Plain:
    """Chunks as every OpenAI client reads them."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.usages = reply, list[Usage]()

    def begin(self, count: int) -> list[str]:
        return [self.chunk(number, {"role": "assistant", "content": ""}) for number in range(count)]

    def of(self, number: int, event: Sources | Delta | Final) -> list[str]:
        """What one event is on the wire."""
        reply = self.reply
        if isinstance(event, Sources):
            if number or not reply.body.rag.passages:
                return []
            return [self.chunk(0, {}, rag={"passages": [asdict(each) for each in event.passages]})]
        if isinstance(event, Delta):
            # Whether it is JSON is known only with the outcome.
            if reply.asked.manner.schema:
                return []
            return [self.chunk(number, {"content": event.text}, logprobs=reply.logprobs(event.tokens))]
        self.usages.append(event.answer.usage)
        lines = []
        if reply.asked.manner.schema:
            said = reply.said(event.answer)
            lines.append(self.chunk(number, {name: text for name, text in said.items() if text is not None}))
        # Who asks for a chunk of usage adds up whatever the chunks say: it must stand in that one only.
        told = reply.body.stream_options.include_usage
        usage = None if told else usage_part(event.answer.usage)
        rag = reply.rag(event.answer)
        return [*lines, self.chunk(number, {}, finish=event.answer.finish, rag=rag, usage=usage)]

    def end(self) -> list[str]:
        done = "data: [DONE]\n\n"
        if not self.reply.body.stream_options.include_usage:
            return [done]
        usage = usage_part(of_choices(self.usages))
        last = {**self.reply.head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        return [data(last), done]

    def failed(self, error: RagError) -> str:
        return data(error_body(error.message, status=error.status, code=error.code))

    def chunk(
        self,
        number: int,
        delta: dict[str, Any],
        *,
        finish: str | None = None,
        logprobs: dict[str, Any] | None = None,
        **extra: Any,
    ) -> str:
        choice = {"index": number, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return data({**self.reply.head, "object": "chat.completion.chunk", "choices": [choice], **extra})


class Typed:
    """Events with names, for clients that ask: sources, delta, citation, final, error."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.finals: dict[int, Answer] = {}

    def begin(self, count: int) -> list[str]:
        return []

    def of(self, number: int, event: Sources | Delta | Final) -> list[str]:
        """One event; a citation comes right before the words that name it."""
        if isinstance(event, Sources):
            passages = [asdict(each) for each in event.passages]
            return [] if number else [named("sources", {"passages": passages})]
        if isinstance(event, Final):
            self.finals[number] = event.answer
            return []
        cited = [named("citation", {"index": number, **asdict(each)}) for each in event.citations]
        return [*cited, named("delta", {"index": number, "text": event.text})]

    def end(self) -> list[str]:
        answers = [self.finals[number] for number in sorted(self.finals)]
        return [named("final", self.reply.completion(answers, [[]] * len(answers))), "data: [DONE]\n\n"]

    def failed(self, error: RagError) -> str:
        return named("error", error_body(error.message, status=error.status, code=error.code))


def refuses(schema: str, answer: Answer) -> bool:
    """Whether JSON was asked for and a sentence is the answer."""
    return bool(schema) and answer.outcome in UNANSWERED


def of_choices(usages: Sequence[Usage]) -> Usage:
    """The tokens of several answers to one prompt, which counts once: as where most of it was computed."""
    prompt = max(usages, key=lambda usage: (usage.prompt_tokens, -usage.cached_tokens))
    return replace(prompt, completion_tokens=sum(usage.completion_tokens for usage in usages))


def total(usages: Sequence[Usage]) -> Usage:
    """The tokens of answers to several prompts."""
    return Usage(*(sum(getattr(usage, name) for usage in usages) for name in Usage.__slots__))


def chance(token: Logprob) -> dict[str, Any]:
    """A drawn token in OpenAI's shape."""
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.text.encode()),
        "top_logprobs": [
            {"token": text, "logprob": logprob, "bytes": list(text.encode())}
            for text, _, logprob in token.top
        ],
    }


def data(message: dict[str, Any]) -> str:
    """One server-sent event, in one line for clients too that split where Unicode ends one (httpx does)."""
    return f"data: {json.dumps(message, ensure_ascii=False).translate(LINE_ENDS)}\n\n"


def named(event: str, message: dict[str, Any]) -> str:
    """One server-sent event with a name."""
    return f"event: {event}\n{data(message)}"
