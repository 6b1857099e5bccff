"""What in a question speaks against a sentence that is otherwise about the same thing."""

from __future__ import annotations

import re

from rag.answering import facts, roles
from rag.answering.vocabulary import ANTONYMS, FUNCTION_WORDS, OPPOSITES
from rag.answering.words import stem

WORD = re.compile(r"[^\W\d_]+")
# What makes another thing of a word: atomic and subatomic, mass and massless.
PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "sub", "anti", "counter")
SUFFIXES = ("less", "free")
LEAST_ROOT = 4
POLAR = re.compile(
    r"(?:is|are|was|were|do|does|did|can|could|may|might|must|should|shall|will|would|has|have|had|am|"
    r"ist|sind|war|waren|darf|dürfen|durfte|durften|kann|können|konnte|muss|müssen|soll|sollen|hat|haben|gibt|"
    r"est-ce|peut-on|puis-je|faut-il|doit-on|puedo|puede|pueden|debe|deben|hay|está|están)\b",
    re.IGNORECASE,
)
PERMISSION = [(one, other) for one, other in OPPOSITES if "forbidden" in one | other]
DID = re.compile(r"\b(?:did|does|do)\b\s+(.*)", re.IGNORECASE | re.DOTALL)


def polar(question: str) -> bool:
    """Whether yes or no answers a question: then the opposite of its words answers it too."""
    return bool(POLAR.match(question))


def forbids(question: str, sentence: str) -> bool:
    """Whether a question for what is not allowed meets a sentence that forbids, or the other way round."""
    if not facts.negated(question):
        return False
    asked, known = ({word.lower() for word in WORD.findall(text)} for text in (question, sentence))
    return any(
        (asked & one and known & other) or (asked & other and known & one) for one, other in PERMISSION
    )


def opposite(question: str, sentence: str) -> bool:
    """Whether the sentence has, for a word of the question, its opposite only."""
    return bool(
        facts.contradictions(question, sentence)
        or facts.contradictions(question, sentence, pairs=ANTONYMS)
        or turned(question, sentence)
    )


def turned(question: str, sentence: str) -> bool:
    """Whether a word of one stands in the other only with a prefix or suffix that makes it another."""
    asked, known = ({word.lower() for word in WORD.findall(text)} for text in (question, sentence))
    roots = {stem(word) for word in known}
    lone = [word for word in asked - FUNCTION_WORDS if stem(word) not in roots]
    return any(away(one, other) for one in lone for other in known - asked)


def away(one: str, other: str) -> bool:
    """Whether one of two words is the other with such a prefix, whatever its ending, or such a suffix."""
    short, long = sorted((one, other), key=len)
    if len(short) < LEAST_ROOT:
        return False
    root = short[: max(LEAST_ROOT, len(short) - 3)]
    return any(long.startswith(prefix + root) for prefix in PREFIXES) or long in [short + s for s in SUFFIXES]


def changed_places(question: str, sentence: str) -> bool:
    """Whether who did it and what it was done to have changed places: "When did A beat B?", "B beat A".

    Only questions with "do" have their words in the order of a statement.
    """
    asked = DID.search(question)
    return bool(asked and roles.swapped(asked[1].rstrip("? "), sentence))


def other_number(question: str, text: str) -> bool:
    """Whether the question names a number that the text does not hold."""
    known = facts.values(text)
    return any(known.isdisjoint(each.values) for each in facts.quantities(question, with_dates=True))
