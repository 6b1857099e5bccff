"""Personal data out of what leaves, and back into what returns, within one request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.routing.personal_data import DataKind, find

PLACEHOLDER = re.compile(r"\[([A-Z_]{2,12})_(\d{1,6})\]")
LONGEST = 21  # characters of a placeholder


@dataclass(frozen=True, slots=True)
class Redaction:
    """Texts with placeholders like [EMAIL_1], the same value always the same one, and what they stand for."""

    texts: tuple[str, ...]
    originals: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many places were replaced, by kind."""
        found = Counter(
            name
            for text in self.texts
            for name, number in PLACEHOLDER.findall(text)
            if f"[{name}_{number}]" in self.originals
        )
        return dict(sorted(found.items()))

    def restored(self, text: str) -> str:
        """The text with every placeholder of this request replaced by what it stands for."""
        return PLACEHOLDER.sub(lambda match: self.originals.get(match[0], match[0]), text)


def redact(texts: Sequence[str], kinds: frozenset[DataKind] = frozenset(DataKind)) -> Redaction:
    """The texts without personal data of these kinds; what is found in one is replaced in all of them."""
    found = [find(text, kinds) for text in texts]
    values: dict[str, DataKind] = {}
    for text, findings in zip(texts, found, strict=True):
        for one in findings:
            value = text[one.start : one.end]
            values.setdefault(value, one.kind)
            if one.kind is DataKind.NAME:  # who was introduced in full goes by the last name later
                values.setdefault(value.split()[-1], one.kind)
    if not values:
        return Redaction(tuple(texts), {})
    # A text may spell a placeholder of its own: numbers go on behind it.
    first = 1 + max((int(number) for text in texts for _, number in PLACEHOLDER.findall(text)), default=0)
    marks = {value: f"[{kind}_{number}]" for number, (value, kind) in enumerate(values.items(), first)}
    longest_first = "|".join(re.escape(value) for value in sorted(marks, key=len, reverse=True))
    spelt = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)")
    changed = []
    for text, findings in zip(texts, found, strict=True):
        places = [(one.start, one.end) for one in findings]
        for match in spelt.finditer(text):
            if all(match.end() <= start or match.start() >= end for start, end in places):
                places.append(match.span())
        for start, end in sorted(places, reverse=True):
            text = text[:start] + marks[text[start:end]] + text[end:]
        changed.append(text)
    return Redaction(tuple(changed), {mark: value for value, mark in marks.items()})


class Restorer:
    """Restores a stream: what may be the beginning of a placeholder waits until it is known."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be shown now."""
        text = self._held + text
        at = text.rfind("[")
        open_ = at >= 0 and "]" not in text[at:] and len(text) - at < LONGEST
        self._held = text[at:] if open_ else ""
        return self._redaction.restored(text[:at] if open_ else text)

    def rest(self) -> str:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        return held
