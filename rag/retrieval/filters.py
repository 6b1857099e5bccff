"""Which documents a search is limited to, and the one way to write it: `label:policy language:de date:2023..`

Fields: collection, label, language, type, title, uri, date. Values of one field stand behind a comma and any
of them will do; all fields must agree. Values with spaces are quoted, type, title and uri take * and ?, case
does not matter. `date` is what the title names (2023, 2023-06, 2023-06-30), alone or as FROM..TO with
either end left out; a document whose title names none has none.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rag.editions import family
from rag.errors import BadRequest
from rag.types import Document

Date = tuple[int, ...]
FIELDS = {
    "collection": "collections",
    "label": "labels",
    "language": "languages",
    "type": "media_types",
    "title": "titles",
    "uri": "uris",
}
DATE = re.compile(r"\d{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)?")


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty fields admit everything. `since` and `until` are inclusive: (2023,) is the whole year."""

    collections: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    media_types: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    since: Date = ()
    until: Date = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read the dialect above. Raises BadRequest for an unknown field, no date, an open quote."""
        try:
            terms = shlex.split(text)
        except ValueError as error:
            raise BadRequest(f"the filter {text!r} cannot be read: {error}") from None
        values: dict[str, tuple[str, ...]] = {}
        since: Date = ()
        until: Date = ()
        for term in terms:
            field, colon, value = term.partition(":")
            if not colon or not value or field not in {*FIELDS, "date"}:
                known = ", ".join([*FIELDS, "date"])
                raise BadRequest(f"{term!r} is no filter; write FIELD:VALUE with one of {known}")
            if field == "date":
                since, until = dates_of(value)
            else:
                folded = (one.casefold() for one in value.split(",") if one)
                values[FIELDS[field]] = (*values.get(FIELDS[field], ()), *folded)
        return cls(**values, since=since, until=until)

    def __bool__(self) -> bool:
        return self != Filter()

    def admits(self, document: Document) -> bool:
        """Whether a document agrees with every field."""
        return (
            among(document.collection, self.collections)
            and among(document.language, self.languages)
            and (not self.labels or any(among(label, self.labels) for label in document.labels))
            and like(document.media_type, self.media_types)
            and like(document.title, self.titles)
            and like(document.uri, self.uris)
            and self._in_time(document)
        )

    def _in_time(self, document: Document) -> bool:
        if not self.since and not self.until:
            return True
        date = family(document.title)[1].date
        # Compared as far as both are named: 2023 lies within 2023-06..2023-09.
        after = date[: len(self.since)] >= self.since[: len(date)]
        before = date[: len(self.until)] <= self.until[: len(date)]
        return bool(date) and after and before


def among(value: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or value.casefold() in wanted


def like(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value.casefold(), pattern) for pattern in patterns)


def dates_of(text: str) -> tuple[Date, Date]:
    """Both ends of `FROM..TO`; of one date, that date twice. Raises BadRequest."""
    start, dots, end = text.partition("..")
    ends = [start, end if dots else start]
    if not any(ends) or any(one and not DATE.fullmatch(one) for one in ends):
        raise BadRequest(f"date:{text} is no date; write 2023, 2023-06, 2023-06-30, or two of these with ..")
    first, last = (tuple(int(part) for part in one.split("-")) if one else () for one in ends)
    return first, last
