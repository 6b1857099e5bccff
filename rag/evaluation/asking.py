"""Questions from sentences that state a fact: rules for English prose, and for the rows of any table.

A rule turns a sentence around and takes one fact out, which is the answer. Where none fits, nothing is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rag.answering.facts import MONTH
from rag.answering.sentences import Sentence, sentences
from rag.answering.vocabulary import FUNCTION_WORDS

AMOUNT = (
    r"(?P<bound>up to |at least |at most |about |no more than )?"
    r"(?P<number>[$€£]?\d[\d.,]*)(?P<percent> ?%| percent)?"
)
BE = r"(?P<be>is|are|was|were)"
MODAL = r"(?P<modal>must|may|can|should|shall|will)"
HAVE = r"(?P<verb>ha(?:ve|s|d)|receives?|gets?|needs?|contains?|takes?|costs?|employs?)"
FEW = r"(?P<middle>(?:[a-z]+ ){0,2})"
REST = r"(?P<rest>[^,;]*)\."
NOUN = r"(?P<noun>[^\W\d_]+)"
TIME = rf"(?P<time>(?:\d{{1,2}}\.? )?(?:{MONTH})(?: \d{{1,2}},)? \d{{4}}|(?:{MONTH}) \d{{1,2}}|\d{{4}})"
NAME = r"(?P<name>[^\W\d_a-z]\w*(?: (?:of |de |von )?[^\W\d_a-z]\w*)*)"
SUBJECT = r"(?P<subject>[^,;:]{3,80}?)"
DONE = r"(?P<done>[a-z]+(?:ed|t|n|d))"
# A sentence that leans on the one before is no question of its own.
LEANING = re.compile(
    r"^(?:it|its|this|that|these|those|they|their|he|his|she|her|we|our|you|your|i|there|here|such|both|each|"
    r"however|also|then|thus|if|when|while|as|for|in|on|at|by|with|after|before)\b",
    re.IGNORECASE,
)
FIGURE = re.compile(r"[-−(]?[$€£]? ?\d[\d.,]*\)?(?: ?[%$€£]| [^\W\d_]+)?")
FEWEST_WORDS, MOST_WORDS = 5, 40


@dataclass(frozen=True, slots=True)
class Proposed:
    """A question, its answer to the letter, the sentence that states it, and the rule that made it."""

    question: str
    answer: str
    sentence: str
    rule: str


def have(match: re.Match[str]) -> tuple[str, str]:
    """Employees have 28 days of leave. How many days of leave do employees have?"""
    verb, helper = {"has": ("have", "does"), "had": ("have", "did")}.get(match["verb"], (match["verb"], ""))
    if not helper:
        helper = "does" if verb.endswith("s") else "do"
        verb = verb.removesuffix("s") if helper == "does" else verb
    bound = f"{match['bound']}how" if match["bound"] else "how"
    asked = f"{bound} many {match['noun']}{match['rest']} {helper} {match['subject']} {verb}?"
    return asked, f"{match['number']} {match['noun']}"


def be(match: re.Match[str]) -> tuple[str, str]:
    """A hotel night is paid up to 140 euros. Up to how many euros is a hotel night paid?"""
    bound = f"{match['bound']}how" if match["bound"] else "how"
    middle = f" {match['middle'].strip()}" if match["middle"].strip() else ""
    asked = f"{bound} many {match['noun']} {match['be']} {match['subject']}{middle}{match['rest']}?"
    return asked, f"{match['number']} {match['noun']}"


def percent(match: re.Match[str]) -> tuple[str, str]:
    """The discount is 12 percent for members. How many percent is the discount for members?"""
    asked = f"how many percent {match['be']} {match['subject']}{match['rest']}?"
    return asked, f"{match['number']}{match['percent']}"


def within(match: re.Match[str]) -> tuple[str, str]:
    """Receipts must be filed within 30 days. Within how many days must receipts be filed?"""
    asked = (
        f"within how many {match['noun']} {match['modal']} {match['subject']} {match['what']}{match['rest']}?"
    )
    return asked, f"{match['number']} {match['noun']}"


def by_whom(match: re.Match[str]) -> tuple[str, str]:
    """The firm was founded by Karl Brandt in 1998. By whom was the firm founded in 1998?"""
    return f"by whom {match['be']} {match['subject']} {match['done']}{match['rest']}?", match["name"]


def when(match: re.Match[str]) -> tuple[str, str]:
    """The workshop was built of brick in May 1998. When was the workshop built of brick?"""
    return f"when {match['be']} {match['subject']} {match['done']}{match['what']}?", match["time"]


RULES: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], tuple[str, str]]], ...] = (
    ("by whom", re.compile(rf"{SUBJECT} {BE} {DONE} by {NAME}{REST}"), by_whom),
    ("when", re.compile(rf"{SUBJECT} {BE} {DONE}(?P<what>[^,;]*?) (?:in|on) {TIME}\."), when),
    ("within", re.compile(rf"{SUBJECT} {MODAL} (?P<what>[^,;]+?) within {AMOUNT} {NOUN}{REST}"), within),
    ("percent", re.compile(rf"{SUBJECT} {BE} {AMOUNT}{REST}"), percent),
    ("have", re.compile(rf"{SUBJECT} {HAVE} {AMOUNT} {NOUN}{REST}"), have),
    ("be", re.compile(rf"{SUBJECT} {BE} {FEW}{AMOUNT} {NOUN}{REST}"), be),
)


def proposals(text: str, title: str = "") -> Iterator[Proposed]:
    """At most one question from each sentence of a chunk, and from each row of its tables."""
    known = set(re.findall(r"\b[a-z]\w*", text))
    for sentence in sentences(text):
        found = of_row(sentence, title) if sentence.context else of_prose(sentence, known)
        if found and found.answer.lower() not in found.question.lower():
            yield found


def of_prose(sentence: Sentence, known: set[str]) -> Proposed | None:
    """The question of the first rule that fits a sentence which stands for itself."""
    text = " ".join(sentence.text.split())
    if not FEWEST_WORDS <= len(text.split()) <= MOST_WORDS or LEANING.match(text):
        return None
    for name, pattern, ask in RULES:
        match = pattern.fullmatch(text)
        if match is None or (name == "percent") != bool(match.groupdict().get("percent")):
            continue
        if match.groupdict().get("noun", "").lower() in FUNCTION_WORDS:
            continue
        question, answer = ask(match)
        subject = match["subject"]
        question = question.replace(subject, lowered(subject, known), 1)
        return Proposed(question[0].upper() + question[1:], answer, sentence.text, name)
    return None


def of_row(sentence: Sentence, title: str) -> Proposed | None:
    """What a table says in the last column with a number, asked by the names of row and column."""
    names, cells = (
        [cell.strip() for cell in re.split(r"\||\t", row.strip().strip("|"))]
        for row in (sentence.context, sentence.text)
    )
    if len(names) != len(cells) or sentence.text.strip() == sentence.context or not cells[0]:
        return None
    for name, cell in reversed(list(zip(names[1:], cells[1:], strict=True))):
        if name and FIGURE.fullmatch(cell):
            about = f" ({title})" if title else ""
            return Proposed(f"What is {name} for {cells[0]}{about}?", cell, sentence.text, "table")
    return None


def lowered(subject: str, known: set[str]) -> str:
    """The subject as it stands inside a sentence: its first word small, unless it is a name."""
    first = subject.split()[0]
    if first.lower() in FUNCTION_WORDS or first.lower() in known:
        return subject[0].lower() + subject[1:]
    plural_or_common = first.lower().endswith("s") and first.lower()[:-1] in known
    return subject[0].lower() + subject[1:] if plural_or_common else subject
