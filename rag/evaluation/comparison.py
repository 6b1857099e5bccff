"""Whether an evaluation is worse than an earlier one: the same questions, score by score."""

from __future__ import annotations

from dataclasses import dataclass

from rag.errors import BadRequest
from rag.evaluation.record import KINDS, Asked, Record
from rag.evaluation.statistics import Interval, interval, mcnemar

MARGIN = 0.02
FEWEST = 20  # the interval of a handful is no interval


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one score: `drop` is how much worse it is now, by pairs of the same question.

    `lost` and `won` count questions of a yes-or-no score, `p` is McNemar's exact test of them.
    """

    name: str
    before: float
    now: float
    drop: Interval
    is_worse: bool
    lost: int = 0
    won: int = 0
    p: float | None = None


def changes(record: Record, baseline: Record, margin: float = MARGIN) -> list[Change]:
    """Every score that both have. Raises BadRequest when they cannot be compared."""
    if record.kind != baseline.kind:
        raise BadRequest(f"the baseline measured {baseline.kind}, this measured {record.kind}")
    before = {each.id: each for each in baseline.asked}
    pairs = [
        (before[each.id], each)
        for each in record.asked
        if each.id in before and before[each.id].question == each.question
    ]
    if not pairs:
        raise BadRequest(
            f"the baseline asked none of these questions: was it of {record.dataset!r}, "
            "with the same --limit and --seed?"
        )
    found = (_change(name, pairs, record.seed, margin) for name in KINDS)
    return [each for each in found if each is not None]


def _change(name: str, pairs: list[tuple[Asked, Asked]], seed: int, margin: float) -> Change | None:
    both = [(b.scores[name], n.scores[name]) for b, n in pairs if name in b.scores and name in n.scores]
    if not both:
        return None
    kind = KINDS[name]
    sign = 1 if kind.more_is_better else -1
    drops = [sign * (before - now) for before, now in both]
    drop = interval(drops, seed)
    is_worse = kind.judged and len(both) >= FEWEST and worse(drop, margin)
    mean_before, mean_now = (sum(side) / len(both) for side in zip(*both, strict=True))
    if not kind.judged or {value for pair in both for value in pair} - {0.0, 1.0}:
        return Change(name, mean_before, mean_now, drop, is_worse)
    lost, won = sum(each > 0 for each in drops), sum(each < 0 for each in drops)
    return Change(name, mean_before, mean_now, drop, is_worse, lost, won, mcnemar(lost, won))


def worse(drop: Interval, margin: float) -> bool:
    """Whether a drop is real and as large as the margin, or certainly larger."""
    return (drop.low > 0 and drop.mean >= margin) or drop.low >= margin
