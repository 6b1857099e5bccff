"""A conversation as pieces of text, so that no document and no user can forge a role.

Only pieces of the template may become control tokens; every other byte is tokenised as ordinary text. Where a
model marks turns with ordinary text, those marks are broken up in whatever is not the template's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.models.lockfile import ChatTemplate
from rag.types import Message

ZERO_WIDTH_SPACE = "\u200b"


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
    pieces = [Piece(template.start, True)] if template.start else []
    folded: list[Piece] = []
    for message in messages:
        text = Piece(break_up(message.content, template.markers), False)
        if template.fold and message.role == "system":
            folded += [Piece(template.fold.before, True), text, Piece(template.fold.after, True)]
            continue
        head = folded if message.role == "user" else []
        pieces += _turn(message.role, [*head, text], template)
        folded = [] if head else folded
    if folded:  # nothing but a system text was said
        pieces += _turn("user", folded[:-1], template)
    pieces.append(Piece(template.answer, True))
    return [piece for piece in pieces if piece.text or not piece.control]


def break_up(text: str, markers: Sequence[str]) -> str:
    """The text with a character of no width inside every marker, which is none any more."""
    if not markers:
        return text
    spelt = re.compile("|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True)))
    return spelt.sub(lambda found: found[0][0] + ZERO_WIDTH_SPACE + found[0][1:], text)


def _turn(role: str, content: list[Piece], template: ChatTemplate) -> list[Piece]:
    wrap = template.around(role)
    return [Piece(wrap.before, True), *content, Piece(wrap.after, True)]
