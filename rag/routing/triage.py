"""Which kind of question this is, told from its vector and a few counts in well under a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag.errors import SettingsError
from rag.routing.regression import Regression
from rag.routing.signals import FEATURES, WORD, QuestionKind, Signals, features

PACKAGED = Path(__file__).with_name("triage.json")
# For vectors of any other embedder: the counts alone, which tell kinds less well.
WORDS_ONLY = Path(__file__).with_name("triage_words.json")


class Triage:
    """Trained weights for one embedder, and others that need no vector."""

    def __init__(self, weights: Regression, words_only: Regression) -> None:
        self.weights, self.words_only = weights, words_only
        self.embedder = str(weights.about["embedder"])
        self.dim = len(weights.centre) - len(FEATURES)

    @classmethod
    def of(cls, own: Path | None = None) -> Triage:
        """The packaged weights, or one's own. Raises SettingsError for a file that cannot be used."""
        weights = Regression.load(own or PACKAGED)
        strange = set(weights.labels) - {kind.value for kind in QuestionKind}
        if strange or weights.about.get("features") != list(FEATURES):
            raise SettingsError(
                f"{own} tells no kinds of questions this version knows; "
                "train it anew with `rag eval routing --train`"
            )
        # One's own weights that were trained without an embedder serve for all.
        return cls(weights, Regression.load(WORDS_ONLY) if weights.about["embedder"] else weights)

    def signals(
        self,
        question: str,
        vector: Sequence[float] = (),
        *,
        embedder: str = "",
        in_conversation: bool = False,
    ) -> Signals:
        """The kinds of a question. `vector` counts if `embedder` is the one that the weights were trained on.

        `question` is the last turn as it was asked; `in_conversation`: another turn came before.
        """
        counts = features(question)
        learned = bool(vector) and embedder == self.embedder and len(vector) == self.dim
        weights = self.weights if learned else self.words_only
        inputs = np.array([*vector, *counts] if learned else counts, dtype=np.float64)
        chances = weights.probabilities(inputs)
        kinds = {
            QuestionKind(name): round(float(one), 4)
            for name, one in zip(weights.labels, chances, strict=True)
        }
        return Signals(kinds, in_conversation, len(WORD.findall(question)), learned)
