"""Whether a chunk supports a sentence: every number, date and name to the letter, then words and meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rag.answering import facts, roles, scope
from rag.answering.numerals import in_digits
from rag.answering.sentences import Sentence, sentences
from rag.answering.vocabulary import UNITS
from rag.answering.words import WORD, content
from rag.language import UNTOLD, is_latin, language, small_words, spoken
from rag.store.vectors import Vectors
from rag.types import Chunk, Passage

# Whose negations, bounds, units and opposites facts.py, scope.py and vocabulary.toml know.
CHECKED = frozenset({"en", "de"})
BOUNDS = re.compile(r"[<>≤≥±]")
COVERAGE = 0.7
SIMILARITY = 0.6


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a sentence is supported and why; `evidence` is the chunk's sentence that supports it best."""

    supported: bool
    reason: str
    coverage: float = 0.0
    evidence: Sentence | None = None


class Latitude(Enum):
    """How far a sentence may be from the source's: as far as the checks can tell what was left out."""

    WORDING = "its own words, for the checks know the language"
    WORDS = "every word of the source's sentence"
    NONE = "the sentence to the letter"

    @classmethod
    def of(cls, text: str) -> Latitude:
        """By the language of a text; one that cannot be told, as of a few words, may be any."""
        found = language([text])
        if not is_latin(text) and found not in CHECKED:
            return cls.NONE
        if not found:
            return cls.WORDS
        # A few words of English are soon those of another language too, so that has to have more of them.
        return cls.WORDING if found in CHECKED or spoken(text, UNTOLD) in CHECKED else cls.NONE


@dataclass(frozen=True, slots=True)
class Window:
    """One sentence of a chunk, read under its title and headings.

    No more than one: facts of two neighbours joined by a small model were wrong as often as right.
    """

    sentence: Sentence
    heading: str
    latitude: Latitude = Latitude.WORDING

    @property
    def text(self) -> str:
        return self.sentence.reading

    @property
    def reading(self) -> str:
        return f"{self.heading}\n{self.text}" if self.heading else self.text

    def admits(self, claim: str) -> bool:
        """Whether a claim is near enough to the sentence for its language."""
        if self.latitude is Latitude.WORDING:
            return True
        if self.latitude is Latitude.WORDS:
            return set(WORD.findall(self.sentence.text.lower())) <= set(WORD.findall(claim.lower()))
        return bare(claim) == bare(self.sentence.text)


def bare(sentence: str) -> str:
    """A sentence without case, blanks and its full stop."""
    return " ".join(sentence.casefold().split()).rstrip(" .。।۔")


def windows(chunk: Chunk, *, title: str = "") -> list[Window]:
    """Every sentence of a chunk. Where its own language cannot be told, the chunk's counts."""
    heading = " ".join(dict.fromkeys(part for part in (title, *chunk.heading_path) if part))
    whole = Latitude.of(chunk.text)
    found = []
    for sentence in sentences(chunk.text):
        alone = Latitude.of(sentence.text)
        if alone is Latitude.WORDS and (whole is not Latitude.WORDING or has_small_words(sentence.text)):
            alone = whole
        found.append(Window(sentence, heading, alone))
    return found


def has_small_words(text: str) -> bool:
    """Whether a text has a word that only holds a sentence together, of a language that the checks know."""
    words = {word.lower() for word in WORD.findall(text)}
    return any(words & small_words(name) for name in CHECKED)


def promising(claim: str, found: Sequence[Window], *, question: str = "", limit: int = 3) -> list[Window]:
    """The windows that pass every literal check, best covered first: only these need a similarity."""
    passing = [window for window in found if not literal(claim, window, question=question)]
    return sorted(passing, key=lambda window: -coverage(claim, window))[:limit]


def check(claim: str, window: Window, similarity: float, *, question: str = "") -> Verdict:
    """The verdict for one sentence and one window, given the cosine of the two."""
    covered = coverage(claim, window)
    if reason := literal(claim, window, question=question):
        return Verdict(False, reason, covered)
    if not content(claim):
        return Verdict(False, "says nothing that could be checked", covered)
    if covered < COVERAGE:
        return Verdict(
            False, f"{covered:.0%} of its words are in the source, {COVERAGE:.0%} are needed", covered
        )
    if similarity < SIMILARITY:
        return Verdict(False, f"similarity {similarity:.2f} to the source is below {SIMILARITY:.2f}", covered)
    return Verdict(True, "every fact is in the source", covered, window.sentence)


def coverage(claim: str, window: Window) -> float:
    """The share of the claim's content words that stand in the window or its headings."""
    wanted = set(content(in_digits(claim)))
    return len(wanted & set(content(in_digits(window.reading)))) / len(wanted) if wanted else 0.0


def literal(claim: str, window: Window, *, question: str = "") -> str:
    """The first fact of the claim that the window does not contain, in words; empty when all are there.

    A word that is in neither the window nor the question is invented; the question may be repeated. Where the
    language is not known to these checks, a "not" could be missing: see Latitude.
    """
    if not window.admits(claim):
        return f"in this language only {window.latitude.value} is checked"
    checks = (
        missing_number,
        missing_sign,
        missing_date,
        missing_name,
        missing_identifier,
        turned_around,
        misread,
    )
    if reason := next((reason for check in checks if (reason := check(claim, window))), ""):
        return reason
    known = {*content(window.reading), *content(question)}
    invented = [
        word
        for word in WORD.findall(in_digits(claim))
        # Numbers were compared by their value already.
        if not word[0].isdigit() and any(s not in known for s in content(word))
    ]
    return f"{invented[0]!r} is not in the source" if invented else ""


def missing_number(claim: str, window: Window) -> str:
    known = facts.quantities(window.reading, with_dates=True)
    if unread := next(
        (word for word in facts.unread_digits(claim) if word not in WORD.findall(window.reading)), ""
    ):
        return f"the number {unread} is not in the source"
    told = facts.quantities(claim)
    for said in told:
        same = [each for each in known if each.values & said.values]
        if not same:
            return f"the number {said.written} is not in the source"
        if len(same) < sum(bool(each.values & said.values) for each in told):
            return f"the number {said.written} stands fewer times in the source"
        if said.unit and not any(each.unit in ("", said.unit) for each in same):
            return f"{said.written} is not in {said.unit} in the source"
        if (
            said.unit
            and not any(each.unit == said.unit for each in same)
            and not names_unit(window, said.unit)
        ):
            return f"the unit {said.unit} of {said.written} is not in the source"
    return ""


def missing_sign(claim: str, window: Window) -> str:
    said, known = (set(BOUNDS.findall(text)) for text in (claim, window.sentence.text))
    return f"{min(said ^ known)} is in one of sentence and source only" if said != known else ""


def names_unit(window: Window, unit: str) -> bool:
    """A table names the unit in its header, beside no number."""
    text = window.reading.lower()
    return any(UNITS.get(word) == unit for word in re.findall(r"[^\W\d_]+|[%€$£]|°\w", text))


def missing_date(claim: str, window: Window) -> str:
    known = facts.dates(window.reading)
    for said in facts.dates(claim):
        if not any(said.within(each) for each in known):
            return f"the date {said.day or ''} {said.month} {said.year or ''} is not in the source".replace(
                "  ", " "
            )
    return ""


def missing_name(claim: str, window: Window) -> str:
    words = [word.lower() for word in WORD.findall(window.reading)]
    for name in facts.names(claim):
        wanted = [word.lower() for word in WORD.findall(" ".join(name))]
        if not near_each_other(wanted, words):
            return f"the name {' '.join(name)!r} is not in the source"
    return ""


def near_each_other(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Whether all words stand within a stretch one word longer than they are."""
    span = len(wanted) + 1
    need = set(wanted)
    return any(need <= set(words[n : n + span]) for n in range(max(1, len(words) - len(wanted) + 1)))


def missing_identifier(claim: str, window: Window) -> str:
    source = window.reading.lower()
    for word in facts.identifiers(claim):
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", source):
            return f"{word!r} is not in the source"
    return ""


def turned_around(claim: str, window: Window) -> str:
    if facts.negated(claim) != facts.negated(window.text):
        return "one of sentence and source is negated"
    said, known = (len(facts.NEGATIONS.findall(text)) for text in (claim, window.text))
    if said != known and set(content(window.text)) <= set(content(claim)):
        return "sentence and source deny a different number of things"
    if turned := facts.contradictions(claim, window.text):
        return f"the source says the opposite of {turned[0]!r}"
    return ""


def misread(claim: str, window: Window) -> str:
    """The right words in other roles: swapped, cut short, out of scope, or a number of something else."""
    if window.sentence.context:
        if number := scope.wrong_column(claim, window.sentence.text, window.sentence.context):
            return f"{number} stands in another column of the source"
        return ""
    source = window.text
    said, known = (WORD.findall(text.lower()) for text in (claim, source))
    if said != known and sorted(said) == sorted(known):
        return "its words stand in another order in the source"
    if word := roles.swapped(claim, source):
        return f"{word!r} stands on the other side in the source"
    if word := roles.unfinished(claim, source):
        return f"the source goes on behind {word!r}"
    if word := scope.negation_moved(claim, source):
        return f"one of sentence and source denies {word!r}"
    if word := scope.modifier_changed(claim, source):
        return f"{word!r} is not in both sentence and source"
    if word := scope.requalified(claim, source):
        return f"{word!r} is in one of sentence and source only"
    if number := scope.misbound(claim, source):
        return f"the source says {number} of something else"
    return ""


@dataclass(frozen=True, slots=True)
class Support:
    """The verdict on a sentence over several passages, and the passage that supports it."""

    verdict: Verdict
    passage: Passage | None = None
    similarity: float = 0.0


async def ground(claim: str, passages: Sequence[Passage], vectors: Vectors, *, question: str = "") -> Support:
    """Find the passage that supports a sentence best; embeds only where every literal check passed."""
    found: list[tuple[Passage, Window]] = []
    reasons: list[str] = []
    for passage in passages:
        every = windows(passage.chunk, title=passage.title)
        found += [(passage, window) for window in promising(claim, every, question=question)]
        reasons += [literal(claim, window, question=question) for window in every[:1]]
    if not found:
        return Support(Verdict(False, next(iter(reasons), "there is no source")))
    (similarities,) = await vectors.similarity([claim], [window.text for _, window in found])
    checked = [
        Support(check(claim, window, similarity, question=question), passage, similarity)
        for (passage, window), similarity in zip(found, similarities, strict=True)
    ]
    return max(checked, key=lambda each: (each.verdict.supported, each.verdict.coverage, each.similarity))
