"""A follow-up question in a form that can be searched for on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.types import Message

WORDS = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Words that point back into the conversation, or open a question that continues the one before.
POINTERS = re.compile(
    r"\b(it|its|they|them|their|this|these|those|he|him|his|she|her|ones"
    r"|ihn|ihm|ihr|ihre|ihren|dieser|diese|dieses|davon|dazu|dort|dafür)\b",
    re.IGNORECASE,
)
OPENERS = ("and ", "but ", "or ", "also ", "what about", "how about", "und ", "was ist mit", "wie ist es mit")
SHORT_WORDS = 3
TURNS_BACK = 3


def standalone(question: str, history: Sequence[Message] = ()) -> str:
    """The question with the user's turn that it leans on put before it; unchanged when it leans on none."""
    asked = [message.content for message in history if message.role == "user"][-TURNS_BACK:]
    parts = [question.strip()]
    while asked and leans_back(parts[0]):
        parts.insert(0, asked.pop().strip())
    return " ".join(parts)


def leans_back(question: str) -> bool:
    """Whether a question cannot be understood without the turn before it."""
    return (
        len(WORDS.findall(question)) <= SHORT_WORDS
        or question.casefold().lstrip().startswith(OPENERS)
        or POINTERS.search(question) is not None
    )
