"""What reusing the KV of passages at other positions costs in quality, question by question.

Every question is answered by the same engine with all KV computed anew and with KV reused; see trial.py. Two
controls must say the same as the first: exact reuse, and the repair of every token of a passage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rag.answering.ability import SMALL, Ability
from rag.answering.brief import filled, marked, messages
from rag.engine.generator import Reuse
from rag.engine.prompt import break_up, render
from rag.errors import ModelError
from rag.evaluation.dataset import Question
from rag.evaluation.scores import contains, f1
from rag.models.lockfile import ChatTemplate
from rag.workers import Caller

BASELINE = "off"  # all KV computed anew
WHOLE = 1 << 20  # tokens: more than any passage has
# Nats of divergence that other batch sizes explain, on average and in one prompt; a wrong position is off by
# a hundred times as much.
ROUNDING, LARGEST_ROUNDING = 0.01, 0.1


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to fill a prompt's KV."""

    name: str
    reuse: Reuse
    repair: int = 0


CONTROLS = (Arm("exact", Reuse.EXACT), Arm("repair all", Reuse.APPROXIMATE, WHOLE))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model said in one arm; the fields are those of Trial.measure."""

    text: str
    first: int
    nll: float
    kl: float
    tokens: int
    cached: int
    approximate: int


@dataclass(frozen=True, slots=True)
class Row:
    """A question and its outcome in every arm it was asked in."""

    question: Question
    outcomes: dict[str, Outcome]

    def f1(self, arm: str) -> float:
        """F1 of the answer in an arm."""
        return f1(self.outcomes[arm].text, self.question.answers)

    def contains(self, arm: str) -> bool:
        """Whether the answer in an arm holds a right one."""
        return contains(self.outcomes[arm].text, self.question.answers)


def approximate(repairs: Sequence[int]) -> list[Arm]:
    """The arms that are judged, the cheapest repair first."""
    return [Arm(f"repair {repair}", Reuse.APPROXIMATE, repair) for repair in sorted(set(repairs))]


async def measure(
    trial: Caller,
    questions: Sequence[Question],
    arms: Sequence[Arm],
    template: ChatTemplate,
    ability: Ability = SMALL,
    *,
    controlled: int,
) -> AsyncIterator[Row]:
    """Ask every question in every arm; the first `controlled` ones in the controls too.

    Raises ContextTooLong before the first answer if one of the prompts is too long.
    """
    for question in questions:
        await trial.call("check", prompt=prompt(question, template, ability))
    for number, question in enumerate(questions):
        asked = [*(CONTROLS if number < controlled else ()), *arms]
        said = await trial.call(
            "measure",
            prompt=prompt(question, template, ability),
            answer=question.answers[0],
            arms=[{"name": arm.name, "reuse": arm.reuse, "repair": arm.repair} for arm in asked],
        )
        yield Row(question, {name: outcome(one) for name, one in said.items()})


def prompt(
    question: Question, template: ChatTemplate, ability: Ability = SMALL
) -> list[tuple[str, bool, bool]]:
    """The product's own prompt for a question and a model, with every passage in a piece of its own."""
    packed = [
        break_up(filled("passage", heading=one.title, text=one.text) + "\n\n", template.markers)
        for one in question.passages
    ]
    pieces = marked(render(messages(question.text, packed, ability), template), packed)
    return [(piece.text, piece.control, piece.chunk) for piece in pieces]


def outcome(said: dict[str, Any]) -> Outcome:
    """One outcome as it comes from the child."""
    return Outcome(**{field.name: said[field.name] for field in fields(Outcome)})


def check_controls(rows: Sequence[Row]) -> None:
    """Raise ModelError if a control says something else than the model with all KV computed anew."""
    for arm in CONTROLS:
        off = [row.outcomes[arm.name].kl for row in rows if arm.name in row.outcomes]
        if not off:
            raise ModelError(f"the measurement is broken: the control {arm.name!r} was not run")
        if not (sum(off) / len(off) <= ROUNDING and max(off) <= LARGEST_ROUNDING):
            raise ModelError(
                f"the measurement is broken: the control {arm.name!r} is off by {max(off):.3f} nats, which "
                f"rounding does not explain; leave engine.reuse at exact and report this with `rag doctor`"
            )


def reuse_of(rows: Sequence[Row], arm: str) -> tuple[float, float]:
    """Parts of the prompts' tokens that were not computed anew, and that are approximate."""
    said = [row.outcomes[arm] for row in rows]
    tokens = max(1, sum(one.tokens for one in said))
    return sum(one.cached for one in said) / tokens, sum(one.approximate for one in said) / tokens
