"""Which tier answers: by kind of question, then by evidence, then by what became of the draft. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from rag.answering.confidence import DECLINED_BELOW
from rag.errors import Forbidden, SettingsError, UnknownModel
from rag.routing.regression import Regression
from rag.routing.signals import HARD, IDLE, Draft, Evidence, QuestionKind, Signals
from rag.routing.tiers import AUTO, Tiers
from rag.settings import RoutingSettings, Settings
from rag.types import Profile

NEEDED = "needed"  # the label of questions that a cheaper tier gets wrong and a dearer one right


class Reason(StrEnum):
    """Why a tier was chosen."""

    NAMED = "it was asked for by name"
    IDLE = "the question asks the documents for nothing"
    NO_EVIDENCE = "the documents hardly answer it, and a dearer tier cannot know more than they do"
    NEED = "questions with such signals needed more, as trained"
    HARD = "it takes more than one place in the documents"
    USUAL = "it is an ordinary question"
    STICKY = "the conversation is held there"
    UNSUPPORTED = "too few sentences of the draft had support"


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a choice depends on: names and numbers, no text.

    `closed`: why tiers may not answer this (gate, egress, price, budget), by name. `estimates`: what each
    would cost, marginal, in one currency. `before`: the tier of the conversation's last turn. `evidence` is
    None before the search; with less confidence than `declined_below` nobody words an answer. `drafted`: the
    tiers whose drafts failed their check already.
    """

    signals: Signals
    evidence: Evidence | None = None
    named: str = ""
    before: str = ""
    closed: Mapping[str, str] = field(default_factory=dict)
    estimates: Mapping[str, float] = field(default_factory=dict)
    declined_below: float = DECLINED_BELOW[Profile.EXPLORATORY]
    drafted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A tier that was not taken: why it is closed, empty if it is open, and what it would have cost."""

    tier: str
    closed: str = ""
    estimate: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The tier that answers and why; `case` is what it was decided on."""

    tier: str
    reason: Reason
    alternatives: tuple[Alternative, ...]
    case: Case

    @property
    def why(self) -> str:
        """For people."""
        return f"{self.tier}: {self.reason.value} ({self.case.signals.kind.value.replace('_', ' ')})"

    @property
    def signals(self) -> dict[str, float]:
        """The numbers it was decided on."""
        return numbers(self.case)


class Router:
    """Chooses among tiers, named from cheap to dear. The same case gives the same decision.

    `usual`: the tier of ordinary questions. `need`: weights over `numbers` with the label NEEDED.
    """

    def __init__(
        self, tiers: Sequence[str], usual: str, settings: RoutingSettings, *, need: Regression | None = None
    ) -> None:
        self.tiers, self.settings, self.need = tuple(tiers), settings, need
        self.usual = settings.usual or usual
        if self.usual not in self.tiers:
            raise SettingsError(f"routing.usual is {self.usual!r}; have {', '.join(self.tiers)}")
        if need and (NEEDED not in need.labels or need.about.get("signals") != list(NUMBERS)):
            raise SettingsError("routing.need was not trained on decisions of this version; train it anew")

    @classmethod
    def of(cls, tiers: Tiers, settings: Settings) -> Router:
        """The router of the settings. Raises SettingsError for weights that cannot be used."""
        usual = settings.answering.tier
        need = Regression.load(settings.routing.need) if settings.routing.need else None
        return cls(tiers.names, "small" if usual == AUTO else usual, settings.routing, need=need)

    def choose(self, case: Case) -> Decision:
        """The tier for a case. Raises UnknownModel for a name that is no tier, and Forbidden when the named
        tier, or every tier, is closed."""
        if case.named:
            return self._decided(self._named(case), Reason.NAMED, case)
        if case.drafted and (dearer := self._dearer(case.drafted[-1], case)):
            return self._decided(dearer[0], Reason.UNSUPPORTED, case)
        wanted, reason = self._wanted(case)
        lasting = reason not in (Reason.IDLE, Reason.NO_EVIDENCE)
        if self.settings.sticky and lasting and self._is_dearer(case.before, wanted):
            wanted, reason = case.before, Reason.STICKY
        return self._decided(self._nearest_open(wanted, case), reason, case)

    def after(self, decision: Decision, draft: Draft) -> Decision:
        """The same decision when the draft is kept, else the next dearer open tier. Both tiers are paid for.

        A draft is kept with enough support, after a name was given, and where asking on would change nothing.
        """
        case = decision.case
        good = draft.sentences > 0 and draft.share >= self.settings.supported
        spent = len(case.drafted) >= self.settings.escalations
        if good or spent or case.named or self._hopeless(case) or not self._dearer(decision.tier, case):
            return decision
        return self.choose(replace(case, drafted=(*case.drafted, decision.tier)))

    def _named(self, case: Case) -> str:
        if case.named not in self.tiers:
            raise UnknownModel(f"no tier {case.named!r}; have {', '.join(self.tiers)}")
        if why := case.closed.get(case.named):
            raise Forbidden(f"tier {case.named!r} may not answer this: {why}")
        return case.named

    def _wanted(self, case: Case) -> tuple[str, Reason]:
        """The tier that the question deserves, open or not."""
        kind = case.signals.topic
        if self._hopeless(case):
            return self.tiers[0], Reason.IDLE if kind in IDLE else Reason.NO_EVIDENCE
        if kind in IDLE and case.evidence is None:  # what the documents answer was no small talk
            return self.tiers[0], Reason.IDLE
        if self.need:
            chances = self.need.probabilities(np.array(list(numbers(case).values())))
            if chances[self.need.labels.index(NEEDED)] >= self.settings.need_above:
                return self._next(self.usual), Reason.NEED
        elif kind in HARD:
            return self._next(self.usual), Reason.HARD
        return self.usual, Reason.USUAL

    def _hopeless(self, case: Case) -> bool:
        return case.evidence is not None and case.evidence.confidence < case.declined_below

    def _nearest_open(self, wanted: str, case: Case) -> str:
        """The wanted tier, else the dearest open one below it, else the cheapest above."""
        open_ = self._open(case)
        if not open_:
            told = "; ".join(f"{name}: {why}" for name, why in case.closed.items())
            raise Forbidden(f"no tier may answer this: {told}")
        below = [name for name in open_ if not self._is_dearer(name, wanted)]
        return below[-1] if below else open_[0]

    def _open(self, case: Case) -> list[str]:
        return [name for name in self.tiers if name not in case.closed]

    def _dearer(self, tier: str, case: Case) -> list[str]:
        return [name for name in self._open(case) if self._is_dearer(name, tier)]

    def _next(self, tier: str) -> str:
        return self.tiers[min(self.tiers.index(tier) + 1, len(self.tiers) - 1)]

    def _is_dearer(self, one: str, other: str) -> bool:
        known = one in self.tiers and other in self.tiers
        return known and self.tiers.index(one) > self.tiers.index(other)

    def _decided(self, tier: str, reason: Reason, case: Case) -> Decision:
        others = tuple(
            Alternative(name, case.closed.get(name, ""), case.estimates.get(name))
            for name in self.tiers
            if name != tier
        )
        return Decision(tier, reason, others, case)


NUMBERS = (
    *(kind.value for kind in QuestionKind),
    *("in_conversation", "words", "confidence", "top", "gap", "passages", "documents"),
)


def numbers(case: Case) -> dict[str, float]:
    """The case in the order of NUMBERS, as it is recorded and trained on."""
    found = case.evidence or Evidence(0.0)
    known: dict[str, float] = {kind.value: chance for kind, chance in case.signals.kinds.items()}
    known |= {"in_conversation": float(case.signals.in_conversation), "words": float(case.signals.words)}
    known |= {"confidence": found.confidence, "top": found.top, "gap": found.gap}
    known |= {"passages": float(found.passages), "documents": float(found.documents)}
    return {name: known.get(name, 0.0) for name in NUMBERS}
