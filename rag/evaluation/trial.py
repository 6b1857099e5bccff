"""The service in the child of a measurement: one prompt, answered with its KV filled in several ways."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.engine.generator import Reuse, Terms
from rag.engine.job import Part, segments
from rag.engine.kv.cache import KvCache
from rag.engine.kv.fill import Filler
from rag.engine.opening import open_model
from rag.engine.sequence import Segment, Sequence, Share
from rag.errors import ContextTooLong, ModelError
from rag.evaluation.chunk_cache import BASELINE
from rag.settings import EngineSettings

ANSWER_TOKENS = 32
SLOT = 0
LEAST_MEMORY = 1_000_000_000  # of what is reused nothing may be dropped in the middle of a question

Logits = NDArray[np.float32]


class Trial:
    """The engine as it would serve here, with the same settings, but with one prompt at a time and KV of its
    own. Raises ModelError if passages of this model cannot be moved."""

    methods = ("facts", "check", "measure")

    def __init__(self, home: str, engine: dict[str, Any]) -> None:
        self.engine = open_model(Path(home), EngineSettings(**engine))
        self.model, facts = self.engine.model, self.engine.facts
        if self.engine.filler is None or facts.shape is None or facts.rope is None:
            raise ModelError(f"nothing to measure: passages of this model are not moved: {facts.note}")
        self.fingerprint = self.engine.filler.cache.fingerprint
        self._folder = tempfile.TemporaryDirectory(prefix="rag-trial-")
        folder = Path(self._folder.name)
        cache = KvCache(folder, "trial", facts.shape, memory_bytes=LEAST_MEMORY, disk_bytes=0)
        self.filler = Filler(self.model, cache, facts.rope)

    def close(self) -> None:
        self.filler.cache.close()
        self._folder.cleanup()
        self.engine.close()

    def facts(self) -> dict[str, Any]:
        """What is measured; `fingerprint` is that of the engine's own cache."""
        return {
            "fingerprint": self.fingerprint,
            "model": self.engine.entry.name,
            "sha256": self.engine.entry.sha256,
            "build": self.model.describe()["build"],
        }

    def check(self, prompt: list[Part]) -> None:
        """Raise ContextTooLong for a prompt that cannot be measured."""
        needed = sum(len(piece.tokens) for piece in segments(prompt, self.model)) + ANSWER_TOKENS
        if needed > self.model.context:
            raise ContextTooLong(
                f"a prompt needs {needed} cells, the context has {self.model.context}; take fewer or shorter "
                f"passages"
            )

    def measure(
        self, prompt: list[Part], answer: str, arms: list[dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """What the model says after a prompt, by name of the way its KV was filled; "off" is always among
        them.

        `kl`: divergence of the next token from "off", in nats; `nll`: negative log-likelihood of `answer`,
        nats per token; `first`: the first token; `cached` and `approximate`: tokens that were reused.
        """
        pieces = segments(prompt, self.model)
        gold = self.model.tokens(answer, control=False)[:ANSWER_TOKENS]
        said, fresh = self._outcome(pieces, Terms(reuse=Reuse.OFF), gold)
        outcomes = {BASELINE: said | {"kl": 0.0}}
        computed: set[Reuse] = set()
        try:
            for arm in arms:
                reuse = Reuse(arm["reuse"])
                terms = Terms(reuse, reuse=reuse, repair=arm["repair"])
                if reuse not in computed:
                    self._compute_before(pieces, terms)
                    computed.add(reuse)
                said, logits = self._outcome(pieces, terms, gold)
                outcomes[arm["name"]] = said | {"kl": divergence(fresh, logits)}
        finally:
            for reuse in computed:
                self.filler.cache.forget(reuse)
        return outcomes

    def _compute_before(self, pieces: list[Segment], terms: Terms) -> None:
        """What is to be reused must be there: passages from a prompt in the opposite order."""
        if terms.reuse is Reuse.APPROXIMATE:
            pieces = [pieces[0], *reversed(pieces[1:-1]), pieces[-1]]
            terms = Terms(terms.namespace, reuse=terms.reuse)
        self._fill(Sequence(pieces, ANSWER_TOKENS, terms, slot=SLOT))
        self.model.trim(SLOT, 0)

    def _outcome(self, pieces: list[Segment], terms: Terms, gold: list[int]) -> tuple[dict[str, Any], Logits]:
        sequence = Sequence(pieces, ANSWER_TOKENS, terms, slot=SLOT)
        last = self._fill(sequence)
        reused = sequence.approximate if terms.reuse is Reuse.APPROXIMATE else sequence.cached
        if not reused and terms.reuse is not Reuse.OFF:
            raise ModelError(f"the measurement is broken: nothing was reused ({terms.reuse})")
        nll = self._nll(len(sequence.prompt), last, gold)
        said = self._greedy(len(sequence.prompt), last)
        self.model.trim(SLOT, 0)
        outcome = {
            "text": b"".join(self.model.piece(token) for token in said).decode("utf-8", "replace"),
            "first": int(last.argmax()),
            "nll": nll,
            "tokens": len(sequence.prompt),
            "cached": sequence.cached,
            "approximate": sequence.approximate,
        }
        return outcome, last

    def _fill(self, sequence: Sequence) -> Logits:
        """Fill the slot as the engine does; the logits behind the prompt."""
        last = np.empty(0, np.float32)
        for span in self.filler.fill(sequence):
            sequence.span = span
            while sequence.missing:
                share = sequence.piece(self.engine.tuning.micro_batch)
                [rows] = self.model.decode([share])
                sequence.computed += len(share.tokens)
                last = rows[0].copy() if rows else last
        return last

    def _nll(self, start: int, last: Logits, gold: list[int]) -> float:
        """Of the gold answer behind the prompt, per token; the prompt alone is left in the slot."""
        rows = [last]
        if rest := gold[:-1]:
            rows += self.model.decode([Share(SLOT, start, rest, len(rest))])[0]
        total = sum(-float(log_chances(row)[token]) for row, token in zip(rows, gold, strict=True))
        self.model.trim(SLOT, start)
        return total / len(gold)

    def _greedy(self, start: int, last: Logits) -> list[int]:
        """The likeliest next token again and again, to the end of the turn or of the line."""
        said: list[int] = []
        token = int(last.argmax())
        while (
            len(said) < ANSWER_TOKENS and not self.model.ends(token) and b"\n" not in self.model.piece(token)
        ):
            said.append(token)
            [[row]] = self.model.decode([Share(SLOT, start + len(said) - 1, [token], 1)])
            token = int(row.argmax())
        return said


def log_chances(logits: Logits) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities of all tokens."""
    exact = logits.astype(np.float64) - float(logits.max())
    chances: NDArray[np.float64] = exact - math.log(np.exp(exact).sum())
    return chances


def divergence(left: Logits, right: Logits) -> float:
    """Kullback-Leibler divergence of the next token, in nats."""
    p, q = log_chances(left), log_chances(right)
    return float((np.exp(p) * (p - q)).sum())
