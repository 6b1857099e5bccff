"""A conversation as pieces of text, so that no document and no user can forge a role.

Only pieces of the template may become control tokens; every other byte is tokenised as ordinary text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.models.lockfile import ChatTemplate
from rag.types import Message


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a prompt; `control`: it comes from the template and may become control tokens; `chunk`: it
    is a passage, whose KV may serve other prompts and whose words may be quoted."""

    text: str
    control: bool
    chunk: bool = False


def render(messages: Sequence[Message], template: ChatTemplate) -> list[Piece]:
    """The conversation in the template's form, ending where the answer begins."""
    if template.system and not (messages and messages[0].role == "system"):
        messages = [Message("system", template.system), *messages]
    pieces: list[Piece] = []
    for message in messages:
        pieces.append(Piece(template.before.replace("{role}", message.role), True))
        pieces.append(Piece(message.content, False))
        pieces.append(Piece(template.after, True))
    return [*pieces, Piece(template.answer, True)]
