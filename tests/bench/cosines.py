"""What declining is worth with crowded cosines, as they come and on the bundled embedder's scale.

No other embedder comes with the packages, so the bundled one is crowded: a number that is the same for all
texts is added to its vectors, which puts unrelated texts at .7, as E5 does.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import Asked, ask, feed, questions, trust
from report import ROOT, Row, write

# This folder holds an ingest.py, which would hide the package of that name.
sys.path.insert(0, str(ROOT))

from rag.assembly import System, open_system
from rag.embedding.dense import DenseEmbedder
from rag.embedding.scale import BUNDLED_NAME, Scale, measured
from rag.models.verification import verified
from rag.settings import Settings
from rag.types import Tier

ADDED = 1.5


class Crowded:
    """The bundled embedder with one more number in its vectors."""

    def __init__(self, embedder: DenseEmbedder) -> None:
        self.embedder = embedder

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed_documents([text])[0]

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        vectors = self.embedder.embed_documents(texts)
        longer = np.hstack([vectors, np.full((len(texts), 1), ADDED, dtype=np.float32)])
        return longer / np.linalg.norm(longer, axis=1, keepdims=True)


class Vectors:
    """The index of a system, whose cosines are those of the crowded embedder, read on a scale or not."""

    def __init__(self, vectors: Any, scale: Scale) -> None:
        self.vectors, self.scale = vectors, scale

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vectors, name)

    async def similarity(self, *args: Any, **more: Any) -> list[list[float]]:
        cosines = np.array(await self.vectors.similarity(*args, **more), dtype=np.float32)
        return self.scale((cosines + ADDED**2) / (1 + ADDED**2)).tolist()


def rows(name: str, asked: Sequence[Asked], beside: float | None) -> list[Row]:
    without = [each for each in asked if not each.question.gold]
    answerable = [each for each in asked if each.question.gold]
    declined = sum(each.declined for each in without) / len(without)
    refused = sum(each.declined for each in answerable) / len(answerable)
    return [
        Row(f"{name}: unanswerable declined", declined, "share", "bundled", beside),
        Row(f"{name}: answerable declined", refused, "share", lower_is_better=True),
        *trust(f"{name}: ", asked, "fitted to the bundled one on these"),
    ]


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        exact = {"dtype": "float32"}
        settings = Settings(home=Path(folder) / "kb", embedding=exact, answering={"cache": "off"})
        async with open_system(settings, generation=False) as system:
            await feed(system)
            model, _ = verified(BUNDLED_NAME, settings.home)
            scale = measured(Crowded(DenseEmbedder(model, **exact)))
            bundled = await all_asked(system)
            found = rows("bundled", bundled, None)
            beside, real = found[0].ours, system.assistant.vectors
            for name, read in (("crowded, as it comes", Scale()), ("crowded, on the scale", scale["query"])):
                system.assistant.vectors = Vectors(real, read)
                found += rows(name, await all_asked(system), beside)
            return found


async def all_asked(system: System) -> list[Asked]:
    return [await ask(system, question, Tier.EXTRACT) for question in questions()]


if __name__ == "__main__":
    write("cosines", asyncio.run(run()))
