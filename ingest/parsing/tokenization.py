"""Stands in for unstructured.nlp.tokenize, which would download a spaCy model at the first text.

unstructured asks it three things: sentences, words, and whether a word is a verb. Register it before any
partitioner is imported.
"""

from __future__ import annotations

import re
import sys
import types
from functools import lru_cache

SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9À-ÞА-ЯΑ-Ω])|(?<=[。！？])")
WORD = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
VERBS = frozenset(
    """
    am are be been being is was were do does did done have has had can could may might must shall should
    will would go goes went gone get gets got give gives gave given take takes took taken make makes
    made say says said see sees saw seen come comes came know knows knew known think thinks thought find
    finds found tell tells told become becomes became leave leaves left put puts keep keeps kept let
    lets begin begins began show shows shown hear heard run runs ran hold holds held bring brings
    brought write writes wrote written sit sat stand stood lose lost pay pays paid meet met set sets
    lead led send sent build built fall fell cut buy bought use uses need needs want wants work works
    provide provides require requires include includes contain contains follow apply applies ask asks
    call calls help helps turn turns start starts play move live believe happen allow allows read reads
    spend spent grow grew win won offer offers remember consider appear serve die expect stay reach
    remain remains suggest raise pass sell sold report decide pull ist sind war waren wird werden hat
    haben kann soll muss est sont était ont peut doit es son fue tiene puede debe
    """.split()  # noqa: SIM905 (one word per line would be three pages)
)
VERB_ENDING = re.compile(r".{2,}(?:ed|ing|ize|ise|ized|ised|ify|ifies)$")
NOT_VERBS = {
    "thing",
    "nothing",
    "something",
    "anything",
    "everything",
    "morning",
    "evening",
    "king",
    "ring",
    "string",
    "spring",
    "bed",
    "red",
}


def sent_tokenize(text: str) -> list[str]:
    """The sentences of a text."""
    return [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()]


def word_tokenize(text: str) -> list[str]:
    """Words and punctuation marks."""
    return WORD.findall(text)


@lru_cache(maxsize=128)
def pos_tag(text: str) -> list[tuple[str, str]]:
    """Each word with VB if it is likely a verb, CD for a number, else NN."""
    return [(word, tag(word)) for word in word_tokenize(text)]


def tag(word: str) -> str:
    lower = word.lower()
    if lower in VERBS or (VERB_ENDING.match(lower) and lower not in NOT_VERBS):
        return "VB"
    return "CD" if word[:1].isdigit() else "NN"


def register() -> None:
    """Take the place of the module that needs spaCy."""
    module = types.ModuleType("unstructured.nlp.tokenize")
    for function in (sent_tokenize, word_tokenize, pos_tag):
        setattr(module, function.__name__, function)
    sys.modules["unstructured.nlp.tokenize"] = module
