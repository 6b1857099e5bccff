"""What a request asks: the question and its history, the collection, the tier, and how to word it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.answering.manner import Manner
from rag.engine.generator import Priority, Reuse
from rag.errors import BadRequest, UnknownModel
from rag.retrieval.filters import Filter
from rag.types import Message
from rag.wire import AUTO, ChatMessage, ChatRequest, CompletionRequest, Drawn, RagOptions, ResponsesRequest

SEEDS = 2**63  # the engine's are not negative


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request asks. `ignored` names the fields that changed nothing; the answer repeats them.

    `before`: the tier of the kept conversation's last answer.
    """

    question: str
    history: tuple[Message, ...]
    collection: str | None
    tier: str | None
    manner: Manner
    only: Filter | None
    ignored: tuple[str, ...]
    before: str = ""


def of_chat(body: ChatRequest, collections: Sequence[str], tiers: Sequence[str]) -> Conversation:
    """Read a chat request. Raises BadRequest without a question, UnknownModel for what does not exist."""
    manner = replace(
        drawn(body, body.rag),
        schema=body.response_format.schema_text,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    if body.max_completion_tokens is not None:
        manner = replace(manner, max_tokens=body.max_completion_tokens)
    return read(body.messages, body.model, body.rag, manner, collections, tiers)


def of_completion(
    body: CompletionRequest, prompt: str, collections: Sequence[str], tiers: Sequence[str]
) -> Conversation:
    """Read one prompt of a completion request. Raises as of_chat."""
    turns = [ChatMessage(role="user", content=prompt)]
    return read(turns, body.model, body.rag, drawn(body, body.rag), collections, tiers)


def of_responses(body: ResponsesRequest, collections: Sequence[str], tiers: Sequence[str]) -> Conversation:
    """Read a request of the responses API. Raises as of_chat."""
    words = Drawn(max_tokens=body.max_output_tokens, temperature=body.temperature, top_p=body.top_p)
    manner = drawn(words, body.rag)
    if body.text and body.text.format:
        manner = replace(manner, schema=body.text.format.schema_text)
    asked = read(body.turns, body.model, body.rag, manner, collections, tiers)
    return replace(asked, ignored=(*asked.ignored, "instructions")) if body.instructions else asked


def read(
    messages: Sequence[ChatMessage],
    model: str,
    options: RagOptions,
    manner: Manner,
    collections: Sequence[str],
    tiers: Sequence[str],
) -> Conversation:
    """The question, what stood before it, and where to look."""
    last = messages[-1]
    if last.role != "user" or not last.text.strip():
        what = f"a {last.role!r} one" if last.role != "user" else "empty"
        raise BadRequest(f"the last message must be a question of the user, and is {what}")
    tier, collection = named(model, collections, tiers)
    if options.collection is not None:
        collection = options.collection
        if collection not in collections:
            raise UnknownModel(f"no collection {collection!r}; have {', '.join(collections) or 'none yet'}")
    # Instructions to the model are ours alone; a client's system prompt would change what grounding means.
    turns = [message for message in messages[:-1] if message.role in ("user", "assistant")]
    history = tuple(
        Message("user" if turn.role == "user" else "assistant", turn.text) for turn in turns if turn.text
    )
    return Conversation(
        question=last.text.strip(),
        history=history,
        collection=collection,
        tier=tier,
        manner=manner,
        only=Filter.parse(options.filter) if options.filter else None,
        ignored=("system messages",) if len(turns) < len(messages) - 1 else (),
    )


def drawn(body: Drawn, options: RagOptions) -> Manner:
    """How the model is to word it."""
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or ()
    return Manner(
        max_tokens=body.max_tokens or 0,
        temperature=body.temperature or 0.0,
        top_p=body.top_p or 1.0,
        seed=(body.seed or 0) % SEEDS,
        stop=tuple(stops),
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=tuple((int(token), bias) for token, bias in (body.logit_bias or {}).items()),
        verbatim=options.verbatim,
        reuse=Reuse(options.reuse),
        replayable=options.replayable,
        priority=Priority(options.priority),
    )


def named(model: str, collections: Sequence[str], tiers: Sequence[str]) -> tuple[str | None, str | None]:
    """Tier and collection of a model name: `small`, `handbook` or `handbook:small`. Raises UnknownModel."""
    name, colon, suffix = model.rpartition(":")
    if not colon:
        name, suffix = ("", model) if model in (AUTO, *tiers) else (model, AUTO)
    if suffix in (AUTO, *tiers) and (name in collections or not (name or colon)):
        return (None if suffix == AUTO else suffix), name or None
    raise UnknownModel(f"no model {model!r}; have {', '.join(model_names(collections, tiers))}")


def model_names(collections: Sequence[str], tiers: Sequence[str]) -> list[str]:
    """Every name that may stand in `model`."""
    names = [AUTO, *tiers]
    for collection in collections:
        names += [collection, *(f"{collection}:{tier}" for tier in tiers)]
    return names
