"""A chat request, read: what is asked, after which turns, of which collection, at which tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import BadRequest, UnknownModel
from rag.types import Message, Tier
from rag.wire import AUTO, ChatRequest

UNUSED = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request asks. `ignored` names the fields that changed nothing; the answer repeats them."""

    question: str
    history: tuple[Message, ...]
    collection: str | None
    tier: Tier | None
    ignored: list[str]


def conversation(body: ChatRequest, collections: Sequence[str]) -> Conversation:
    """Read a request. Raises BadRequest without a question, UnknownModel for what does not exist."""
    last = body.messages[-1]
    if last.role != "user" or not last.text.strip():
        raise BadRequest(
            f"the last message must be a question of the user, not an empty or {last.role!r} one"
        )
    tier, collection = model(body.model, collections)
    if body.rag.collection is not None:
        _, collection = model(f"{AUTO}/{body.rag.collection}", collections)
    # Instructions to the model are ours alone; a client's system prompt would change what grounding means.
    turns = [message for message in body.messages[:-1] if message.role in ("user", "assistant")]
    ignored = [name for name in UNUSED if getattr(body, name) is not None]
    if len(turns) < len(body.messages) - 1:
        ignored.append("system messages")
    history = tuple(
        Message("user" if turn.role == "user" else "assistant", turn.text) for turn in turns if turn.text
    )
    return Conversation(last.text.strip(), history, collection, tier, ignored)


def model(name: str, collections: Sequence[str]) -> tuple[Tier | None, str | None]:
    """Tier and collection of a model name such as `small` or `auto/handbook`."""
    if name not in model_names(collections):
        raise UnknownModel(f"no model {name!r}; have {', '.join(model_names(collections))}")
    tier, _, collection = name.partition("/")
    return (None if tier == AUTO else Tier(tier)), collection or None


def model_names(collections: Sequence[str]) -> list[str]:
    """Every name that may stand in `model`."""
    tiers = [AUTO, *(tier.value for tier in Tier)]
    return tiers + [f"{tier}/{collection}" for collection in collections for tier in tiers]
