"""Who does what to whom: whether a claim keeps the order of its source, active and passive told apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answering.vocabulary import BREAKS, BY, DETERMINERS, FUNCTION_WORDS, LOOSE, TO_BE
from rag.answering.words import stem

TOKEN = re.compile(r"[^\W_]+(?:['’]\w+)?|[,;:()–—]")
REACH = 3  # telling words that a preposition holds
NEAR = 6  # words between a participle and its "by"


@dataclass(frozen=True, slots=True)
class Word:
    """A word and the preposition of the loose phrase that holds it, if one does."""

    text: str
    loose: str = ""

    @property
    def root(self) -> str:
        return stem(self.text)

    @property
    def tells(self) -> bool:
        lower = self.text.lower()
        return self.text[0].isalnum() and lower not in FUNCTION_WORDS


def swapped(claim: str, source: str) -> str:
    """A word of the claim that stands on the other side than in the source; empty when the order is kept."""
    said_tokens, known_tokens = TOKEN.findall(claim), TOKEN.findall(source)
    # Only where one is passive and the other is not do sides change.
    said = spoken(active(said_tokens, unlike=known_tokens))
    known = spoken(active(known_tokens, unlike=said_tokens))
    order = {word.root: n for n, word in reversed(list(enumerate(known)))}
    last = {word.root: n for n, word in enumerate(known)}
    # A word that the source has twice can stand at either place, and proves nothing.
    fixed = [word for word in said if word.root in order and order[word.root] == last[word.root]]
    once = {each for each in LOOSE if [token.lower() for token in known_tokens].count(each) == 1}
    firm = [
        word
        for word in dict.fromkeys(fixed)
        # A phrase may move as long as no other one begins with the same preposition.
        if not (word.loose in once and known[order[word.root]].loose == word.loose)
    ]
    places = [order[word.root] for word in firm]
    for n in range(1, len(places)):
        if places[n] < places[n - 1]:
            return firm[n].text
    return ""


def spoken(tokens: Sequence[str]) -> list[Word]:
    """The telling words with their place in a phrase."""
    return [word for word in marked(tokens) if word.tells]


def active(tokens: Sequence[str], *, unlike: Sequence[str]) -> list[str]:
    """A passive turned round: the letter was written by Anna, Anna written the letter.

    Only for a verb that `unlike` has in the active; a passive without "by" has nobody in front.
    """
    lower = [token.lower() for token in tokens]
    theirs = participles(unlike)
    active_there = {stem(token) for token in unlike} - theirs.keys()
    for verb, (start, at) in participles(tokens).items():
        if verb not in active_there:
            continue
        begin = next((m + 1 for m in range(start - 1, -1, -1) if lower[m] in BREAKS), 0)
        by = next((m for m in range(at + 1, min(len(tokens), at + NEAR)) if lower[m] in BY), None)
        if by is None:
            return [*tokens[:begin], *tokens[start + 1 : at + 1], *tokens[begin:start], *tokens[at + 1 :]]
        stops = (m for m in range(by + 2, len(tokens)) if lower[m] in BREAKS or lower[m] in LOOSE - {"of"})
        end = next(stops, len(tokens))
        agent, rest = tokens[by + 1 : end], tokens[end:]
        return [*tokens[:begin], *agent, *tokens[start + 1 : by], *tokens[begin:start], *rest]
    return list(tokens)


def participles(tokens: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The stems of the words right behind a form of "to be", an adverb between allowed, with both places."""
    found: dict[str, tuple[int, int]] = {}
    for n, token in enumerate(tokens):
        if token.lower() in TO_BE:
            for m in range(n + 1, min(n + 3, len(tokens))):
                if tokens[m][0].islower() and tokens[m].lower() not in FUNCTION_WORDS | TO_BE:
                    found.setdefault(stem(tokens[m]), (n, m))
    return found


def marked(tokens: Sequence[str]) -> list[Word]:
    """The words, with those behind a loose preposition marked up to the next break or verb-like word."""
    found: list[Word] = []
    loose, left = "", 0
    for token in tokens:
        lower = token.lower()
        if lower in LOOSE:
            loose, left = lower, REACH
        elif lower in BREAKS or lower in TO_BE or left <= 0:
            loose = ""
        found.append(Word(token, loose))
        if lower not in DETERMINERS and lower not in LOOSE:
            left -= 1
    return found


def unfinished(claim: str, source: str) -> str:
    """The last word of a claim where the source goes on to say whom or what; else empty."""
    said = [token for token in TOKEN.findall(claim) if token[0].isalnum()]
    known = TOKEN.findall(source)
    if not said:
        return ""
    places = [n for n, token in enumerate(known) if token.lower() == said[-1].lower()]
    if not places or said[-1].lower() in FUNCTION_WORDS or said[-1][0].isdigit():
        return ""
    following = [known[n + 1].lower() if n + 1 < len(known) else "" for n in places]
    return said[-1] if all(word in DETERMINERS for word in following) else ""
