"""Numbers and clock times written in words, read as their values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from rag.answering.vocabulary import NUMBERS, SCALES

WORD = re.compile(r"[^\W\d_]+")
HUNDRED = Decimal(100)
# No number is longer; each "hundert" in a word is a step of the recursion.
MOST_LETTERS = 60
# "hundred" alone may stand behind digits, so it is no number without a word that counts it.
COUNTERS = frozenset({"a", "an", "one", "ein", "eine", "eins"})
BETWEEN = frozenset(" -\u00a0\u2011")

HOURS = "|".join(name for name in NUMBERS if NUMBERS[name] <= 12)
HOUR = r"(?P<{name}>\d{{1,2}}|one|eins|" + HOURS + ")"
CLOCK = re.compile(
    rf"\bhalf past {HOUR.format(name='half')}\b|\bquarter past {HOUR.format(name='past')}\b|"
    rf"\bquarter to {HOUR.format(name='to')}\b|\bhalb {HOUR.format(name='halb')}\b|"
    rf"\bviertel nach {HOUR.format(name='nach')}\b|\bviertel vor {HOUR.format(name='vor')}\b",
    re.IGNORECASE,
)
FULL_HOUR = re.compile(r"(?<![\d:])(\d{1,2}):00\b(?!:)")
# By group of CLOCK: hours to add, and the minutes.
CLOCK_SHIFTS = {
    "half": (0, 30),
    "past": (0, 15),
    "to": (-1, 45),
    "halb": (-1, 30),
    "nach": (0, 15),
    "vor": (-1, 45),
}


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number in words: text[start:end]."""

    start: int
    end: int
    value: Decimal


def numerals(text: str) -> Iterator[Numeral]:
    """The numbers in words, the longest run of words first: "two hundred and five" is one number."""
    words = list(WORD.finditer(text))
    at = 0
    while at < len(words):
        value, used = run(text, words, at)
        if value is None:
            at += 1
        else:
            yield Numeral(words[at].start(), words[at + used - 1].end(), value)
            at += used


def run(text: str, words: list[re.Match[str]], at: int) -> tuple[Decimal | None, int]:
    """The value of the number that begins with a word, and how many words it takes; None: it is no number."""
    total, current = Decimal(0), compound(words[at].group().lower())
    if words[at].group().lower() in COUNTERS and scale_of(text, words, at + 1) is not None:
        current = Decimal(1)
    if current is None:
        return None, 0
    used = 1
    while (n := at + used) < len(words):
        joint = text[words[n - 1].end() : words[n].start()]
        word = words[n].group().lower()
        more, scale = compound(word), scale_of(text, words, n)
        if word == "one" and current % HUNDRED >= 20:
            more = Decimal(1)
        if scale == HUNDRED and 0 < current < HUNDRED:
            current *= HUNDRED
        elif scale is not None and scale > HUNDRED and current:
            total, current = total + current * scale, Decimal(0)
        elif joint in BETWEEN and more is not None and fits(more, behind=current):
            current += more
        elif word == "and" and not current % HUNDRED and follows(text, words, n):
            current += compound(words[n + 1].group().lower()) or 0
            used += 1
        else:
            break
        used += 1
    return total + current, used


def fits(more: Decimal, *, behind: Decimal) -> bool:
    """Whether a number word goes on with the one before: five behind twenty, but not behind three."""
    rest = behind % HUNDRED
    return more < HUNDRED and (not rest or (rest >= 20 and rest % 10 == 0 and more < 10))


def follows(text: str, words: list[re.Match[str]], n: int) -> bool:
    """Whether the "and" at n goes on with a number of one or two digits: "two hundred and five"."""
    if n + 1 >= len(words) or text[words[n].end() : words[n + 1].start()] not in BETWEEN:
        return False
    more = compound(words[n + 1].group().lower())
    return more is not None and more < HUNDRED and scale_of(text, words, n + 2) is None


def scale_of(text: str, words: list[re.Match[str]], n: int) -> Decimal | None:
    """The scale that a word is, right behind the word before it."""
    if n >= len(words) or not n or text[words[n - 1].end() : words[n].start()] not in (" ", "-", "\u00a0"):
        return None
    word = words[n].group().lower()
    return SCALES.get(word) if len(word) > 2 else None


def compound(word: str) -> Decimal | None:
    """The value of one word; German writes achtundzwanzig and zweihundertfünf as one."""
    if (known := NUMBERS.get(word)) is not None or len(word) > MOST_LETTERS:
        return known
    for name, scale in (("tausend", Decimal(1000)), ("hundert", HUNDRED)):
        left, found, right = word.partition(name)
        if found and word != name:
            many = Decimal(1) if left in ("", "ein") else compound(left)
            rest = Decimal(0) if not right else compound(right.removeprefix("und"))
            return None if many is None or rest is None else many * scale + rest
    ones, found, tens = word.partition("und")
    if found and (tens_value := NUMBERS.get(tens)) is not None and tens_value >= 20:
        ones_value = Decimal(1) if ones == "ein" else NUMBERS.get(ones)
        return None if ones_value is None else tens_value + ones_value
    return None


def in_digits(text: str) -> str:
    """The text with its numbers and clock times in digits, so that both ways of writing are the same."""
    text = clocked(text)
    for each in reversed(list(numerals(text))):
        text = f"{text[: each.start]}{each.value}{text[each.end :]}"
    return text


def clocked(text: str) -> str:
    """The text with clock times in digits, "half past nine" as 9:30, and 9:00 as 9."""
    return FULL_HOUR.sub(r"\1", CLOCK.sub(written, text))


def written(match: re.Match[str]) -> str:
    """A clock time that CLOCK found, as 9:30."""
    name = match.lastgroup or ""
    said = match[name].lower()
    hour = int(said) if said.isdigit() else int(NUMBERS.get(said, 1))
    shift, minutes = CLOCK_SHIFTS[name]
    return f"{(hour + shift - 1) % 12 + 1 if shift and hour <= 12 else hour + shift}:{minutes}"
