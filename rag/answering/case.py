"""One question on its way to an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rag.answering.account import Account
from rag.answering.citations import Citations
from rag.answering.docket import Docket
from rag.answering.events import Delta
from rag.answering.manner import Manner
from rag.engine.generator import Logprob
from rag.engine.inquiry import Inquiry
from rag.routing.external import Cleared
from rag.types import Passage, Principal

MARKER = re.compile(r"\[(\d+)\]")


@dataclass(slots=True)
class Case:
    """One question on its way to an answer, and what was shown of it so far.

    `epoch`: the last removal of a document before the search. `inquiry`: the generator that was asked last.
    `sent`: what went out to external tiers. `declined`: the last model said that the passages do not answer.
    """

    question: str
    principal: Principal
    passages: tuple[Passage, ...]
    manner: Manner
    docket: Docket
    account: Account
    citations: Citations
    epoch: str | None
    inquiry: Inquiry | None = None
    sent: list[Cleared] = field(default_factory=list)
    shown: str = ""
    declined: bool = False

    @property
    def reader(self) -> str:
        """Under what name work for this reader may be kept; nothing is where no removal would be noticed."""
        who = self.principal
        return f"{who.tenant}\x1f{who.readership}" if self.epoch is not None else ""

    def delta(self, text: str, tokens: tuple[Logprob, ...] = ()) -> Delta:
        """Show some more text."""
        known = set(MARKER.findall(self.shown))
        new = set(MARKER.findall(text)) - known
        self.shown += text
        return Delta(text, tuple(each for each in self.citations.all if str(each.marker) in new), tokens)
