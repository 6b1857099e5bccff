"""Why a search gave this order, in lines for a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rag.retrieval.fusion import weigh
from rag.retrieval.ranking import LATE
from rag.retrieval.scope import Scope
from rag.types import BM25, Passage


def explained(
    question: str, passages: Sequence[Passage], dense_weight: float, languages: Collection[str] = ()
) -> Iterator[str]:
    """What the question showed, then for each passage what every signal added to its score."""
    evidence, scope = weigh(question, dense_weight, languages), Scope.of(question)
    reasons = [
        "a number, an identifier or a quotation" if evidence.literal else "",
        f"{evidence.foreign:.0%} letters of a script that the embedder does not know"
        if evidence.foreign
        else "",
    ]
    shown = ", ".join(filter(None, reasons)) or "nothing that only words can match"
    terms = passages[0].terms if passages else BM25
    leg = terms if terms == BM25 else f"sparse ({terms})"
    yield f"weight: dense {evidence.weight:.2f}, {leg} {1 - evidence.weight:.2f} (the question holds {shown})"
    if any(dict(passage.signals).get(LATE) for passage in passages):
        yield "late interaction: what both legs found was scored again, token by token"
    limits = [str(scope.period), "the latest edition" if scope.latest else "", *sorted(scope.names)]
    if any(limits):
        yield f"asks for: {', '.join(filter(None, limits))}"
    for number, passage in enumerate(passages, 1):
        if passage.expands:
            yield f"{number:>3}  beside the hit above it"
            continue
        total = sum(value for _, value in passage.signals)
        added = "  ".join(f"{name} {value:+.3f}" for name, value in passage.signals if value)
        yield f"{number:>3}  {total:.3f} = {added}"
