"""The rows and columns of a table that a question names; None where a word of it is not accounted for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.answering.tables.asking import Operation
from rag.answering.tables.grid import Grid
from rag.answering.tables.locating import Place
from rag.answering.tables.naming import AND, LINKING, Naming, telling
from rag.answering.tables.periods import Period, only_period, periods, without
from rag.answering.tables.spans import candidates, is_at, undated, ways
from rag.answering.tables.survey import numeric, shared
from rag.answering.tables.synonyms import says, synonymous
from rag.answering.tables.wholes import SUMMARY, roots

NEAR, FAR = 1.0, 0.8  # what a word counts that stands at the table, or only in the text around it
CASED = 3  # letters: a shorter label is known by its capitals too
ENDING = r"(?:['’]?s|e?n|e|n?ed)?"


@dataclass(frozen=True, slots=True)
class Pick:
    """The rows that each phrase names, the columns for all of them, and how well the words fit.

    `whole_times`: rows or columns are parts of a time that the question names as one. `filtered`: all
    rows that have a word in a cell.
    """

    grid: Grid
    rows: tuple[tuple[int, ...], ...]
    columns: tuple[int, ...]
    score: float
    whole_times: bool = False
    filtered: bool = False

    def places(self, rows: Sequence[int]) -> list[Place]:
        grid = self.grid
        return [
            Place(grid.cells[n][column], grid.rows[n], grid.columns[column], self.score)
            for n in rows
            for column in self.columns
        ]


@dataclass(frozen=True, slots=True)
class Mentions:
    """The rows that a phrase names, in its order, and the words that are left.

    `listed`: whether nothing but "and" stands between them.
    """

    rows: tuple[int, ...]
    rest: str
    listed: bool


def by_name(grid: Grid, ask: Naming) -> Pick | None:
    """Rows named by their labels; the times of the question choose columns."""
    times = ask.times
    if len(times) == 1 and not ask.half and all(line.periods for line in grid.rows):
        # "Plan 2023" and "Actual 2023" among others are called plan and actual in a question about 2023.
        kept = [n for n, line in enumerate(grid.rows) if is_at(line, times[0])]
        lines = tuple(replace(grid.rows[n], label=without(grid.rows[n].label).strip()) for n in kept)
        grid, times = replace(grid, rows=lines, cells=tuple(grid.cells[n] for n in kept)), ()
    found = [mentions(grid, phrase) for phrase in ask.phrases]
    rows = [each.rows for each in found if each]
    if len(rows) < len(found) or not rows[0]:
        return None
    if ask.said and not all(each and each.listed for each in found):
        return None
    rest = [each.rest for each in found if each]
    return pick(grid, ask, rows, rest, times, ask.half)


def by_time(grid: Grid, ask: Naming) -> Pick | None:
    """Rows that are times, named by the times of the question."""
    named = [n for n, line in enumerate(grid.rows) if not SUMMARY.match(line.label)]
    if not all(grid.rows[n].periods for n in named):
        return None
    # Quarters down and years across: the year is for the columns.
    across = any(each.year for line in grid.columns for each in line.periods)
    years = {each.year for each in ask.times if each.year} if across else set()
    if len(years) > 1 or (across and any(each.year for n in named for each in grid.rows[n].periods)):
        return None
    rows: list[tuple[int, ...]] = []
    composed = False
    for phrase in ask.phrases:
        spelled = ways(ask.times if len(ask.phrases) == 1 else periods(phrase), ask.half)
        if across:
            spelled = [way for way in map(undated, spelled) if way]
        groups = [candidates(grid.rows, named, each) for each in spelled]
        if not all(groups) or any(len(part) != 1 for group in groups for part in group):
            return None
        composed = composed or any(len(group) > 1 for group in groups)
        rows.append(tuple(part[0] for group in groups for part in group))
    if ask.operation is Operation.PERCENTAGE and across:
        rows[-1] = ()
    if not rows[0]:
        return None
    found = pick(grid, ask, rows, list(ask.phrases), [Period(year) for year in years], 0)
    return replace(found, whole_times=composed) if found else None


def by_cell(grid: Grid, ask: Naming) -> Pick | None:
    """Rows that have the words left over in one column of words: how many employees work in Bergen."""
    if not ask.counting or ask.said or ask.half or grid.turned:
        return None
    wanted = telling(ask.text)
    columns = [
        n
        for n, line in enumerate(grid.columns)
        if says(roots(line.label), wanted) and numeric(grid, range(len(grid.rows)), n)
    ]
    if len(columns) != 1:
        return None
    known = roots(f"{grid.columns[columns[0]].label} {grid.topic} {grid.corner}")
    left = wanted - shared(wanted, known) - synonymous(wanted, known)
    for column in range(len(grid.columns)):
        rows = [n for n, row in enumerate(grid.cells) if left and roots(row[column].text) == left]
        if rows and not any(grid.cells[n][column].figure for n in rows):
            rest = " ".join(word for word in ask.text.split() if not roots(word) & left)
            found = pick(grid, ask, [tuple(rows)], [rest], ask.times, 0)
            return replace(found, filtered=True) if found else None
    return None


def pick(
    grid: Grid,
    ask: Naming,
    rows: Sequence[tuple[int, ...]],
    rest: Sequence[str],
    times: Sequence[Period],
    half: int,
) -> Pick | None:
    """The columns for these rows, if they and the text around account for all words that are left."""
    wanted = telling(" ".join(rest))
    summary = {word for word in wanted if SUMMARY.match(word)}
    every, used = range(len(grid.rows)), sorted({n for group in rows for n in group})
    numbers = [
        n
        for n in range(len(grid.columns))
        if numeric(grid, every, n) and all(grid.cells[r][n].figure for r in used)
    ]
    columns, composed = columns_for(grid, used, numbers, wanted, summary, times, half)
    if not columns:
        return None
    chosen = roots(" ".join(grid.columns[n].label for n in columns))
    if ask.operation is Operation.PERCENTAGE and shared(telling(rest[0]), chosen) - roots(rest[1]):
        return None  # "of the total did Ben spend on travel": of all, or of what was spent on travel
    near = chosen | roots(f"{grid.topic} {grid.corner}")
    if ask.operation is not Operation.CHANGE:
        wanted -= summary
    close = shared(wanted, near) | synonymous(wanted, near)
    far = roots(" ".join([grid.caption, *(each.label for each in grid.rows if SUMMARY.match(each.label))]))
    if wanted - close - shared(wanted, far) - synonymous(wanted, far):
        return None
    score = (NEAR * len(close) + FAR * len(wanted - close)) / len(wanted) if wanted else FAR
    return Pick(grid, tuple(rows), tuple(columns), score, composed)


def columns_for(
    grid: Grid,
    rows: Sequence[int],
    numbers: Sequence[int],
    wanted: frozenset[str],
    summary: set[str],
    times: Sequence[Period],
    half: int,
) -> tuple[list[int], bool]:
    """The columns of figures that are meant, and whether they are parts of a time; none where not sure."""
    timed = any(grid.columns[n].periods for n in numbers)
    if not timed and (half or any(each != Period(grid.year) for each in times)):
        return [], False
    if not timed or not (times or half):
        column = narrowed(grid, rows, numbers, wanted, summary)
        return ([] if column is None else [column]), False
    groups = [candidates(grid.columns, numbers, each) for each in ways(times, half)]
    found = [narrowed(grid, rows, part, wanted, summary) for group in groups for part in group]
    if not all(groups) or None in found:
        return [], False
    return [each for each in found if each is not None], any(len(group) > 1 for group in groups)


def narrowed(
    grid: Grid, rows: Sequence[int], numbers: Sequence[int], wanted: frozenset[str], summary: set[str]
) -> int | None:
    """The one of some columns that is meant: by its name, in other words, or the total of the others."""
    labels = {n: roots(grid.columns[n].label) for n in numbers}
    telling = wanted - summary
    # The columns of a turned grid are things, which are called by their whole names.
    whole = {n: not grid.turned or labels[n] <= shared(labels[n], telling) for n in numbers}
    fits = {n: len(shared(telling, labels[n])) if whole[n] else 0 for n in numbers}
    if any(fits.values()):
        best = [n for n in numbers if fits[n] == max(fits.values())]
        own = labels[best[0]]
        summed = {n for n in numbers if SUMMARY.match(grid.columns[n].label)}
        others = {word for n in set(numbers) - summed for word in labels[n]} - own
        if len(best) > 1 or shared(telling - shared(telling, own), others):
            return None
        return best[0]
    meaning = [n for n in numbers if says(labels[n], telling)]
    if meaning:
        return meaning[0] if len(meaning) == 1 else None
    total = [n for n in numbers if SUMMARY.match(grid.columns[n].label)]
    if len(numbers) == 1 and (not telling or not labels[numbers[0]] or total):
        return numbers[0]
    if len(total) == 1 and (summary or adds_up(grid, rows, numbers, total[0])):
        return total[0]
    return None


def adds_up(grid: Grid, rows: Sequence[int], numbers: Sequence[int], total: int) -> bool:
    """Whether a column is the sum of the others in these rows."""
    cells = [[grid.cells[n][column].figure for column in numbers if column != total] for n in rows]
    told = [grid.cells[n][total].figure for n in rows]
    return len(numbers) > 2 and all(
        end is not None and sum(each.value for each in parts if each) == end.value
        for parts, end in zip(cells, told, strict=True)
    )


def mentions(grid: Grid, phrase: str) -> Mentions | None:
    """The rows whose whole label stands in a phrase, longer ones first; None where two rows share one."""
    labels = Counter(line.label.lower() for line in grid.rows)
    found: list[tuple[int, int, int]] = []
    text = phrase
    for n in sorted(range(len(grid.rows)), key=lambda n: -len(grid.rows[n].label)):
        label = grid.rows[n].label
        pattern = spelling(label)
        if pattern is None or SUMMARY.match(label) or not (match := pattern.search(text)):
            continue
        if labels[label.lower()] > 1:
            return None
        found.append((match.start(), match.end(), n))
        text = pattern.sub(lambda each: " " * len(each.group()), text)
    found.sort()
    between = [phrase[end:start] for (_, end, _), (start, _, _) in zip(found, found[1:], strict=False)]
    return Mentions(tuple(n for _, _, n in found), text, all(map(is_and, between)))


def spelling(label: str) -> re.Pattern[str] | None:
    """How a label may stand in a question: its words outside parentheses, each with an ending."""
    parts = re.findall(r"\w+", re.sub(r"\([^)]*\)", " ", label))
    if not parts or only_period(label):
        return None
    flags = 0 if len(label) < CASED else re.IGNORECASE
    return re.compile(r"(?<!\w)" + r"\W+".join(re.escape(part) + ENDING for part in parts) + r"(?!\w)", flags)


def is_and(between: str) -> bool:
    """Whether the words between two names join them and do nothing else."""
    said = re.findall(r"\w+", between.lower())
    return ("," in between or any(word in AND for word in said)) and all(
        word in AND or word in LINKING for word in said
    )
