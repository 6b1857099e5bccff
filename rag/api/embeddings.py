"""OpenAI's embeddings endpoint over the embedder of the index."""

from __future__ import annotations

import asyncio
import base64
from functools import lru_cache
from pathlib import Path

import numpy as np
from fastapi import APIRouter

from rag.api.state import Asker, Running
from rag.embedding.prompts import prompts_for
from rag.embedding.tokens import TokenCounter
from rag.errors import BadRequest, ContextTooLong, UnknownModel
from rag.models.lockfile import folder_of
from rag.wire import Embedding, Embeddings, EmbeddingsRequest, EmbeddingUsage

router = APIRouter(prefix="/v1")


@router.post("/embeddings")
async def embeddings(body: EmbeddingsRequest, system: Running, caller: Asker) -> Embeddings:
    """The vector of each text. A text longer than the model reads is refused, not cut."""
    info = await system.vectors.info()
    if body.model not in ("", info["model"]):
        raise UnknownModel(f"no embedding model {body.model!r}; have {info['model']}")
    texts = body.texts
    if not all(text.strip() for text in texts):
        raise BadRequest("an empty text has no vector; leave it out")
    chosen, home = system.settings.embedding, system.settings.home
    prompts = prompts_for(chosen.model, home, query=chosen.query_prompt, document=chosen.document_prompt)
    counter = await asyncio.to_thread(counter_of, chosen.model, home, prompts.before(body.input_type))
    counts = await asyncio.to_thread(counter.count, texts)
    if (most := max(counts)) > counter.budget:
        raise ContextTooLong(f"a text has {most} tokens, the embedder reads {counter.budget}: cut it first")
    vectors = np.asarray(await system.embed(texts, caller, side=body.input_type), dtype="<f4")
    if body.dimensions not in (None, vectors.shape[1]):
        raise BadRequest(
            f"dimensions {body.dimensions} is not what this index has: {vectors.shape[1]} "
            "(setting embedding.dimensions)"
        )
    data = [
        Embedding(index=number, embedding=written(vector, body.encoding_format))
        for number, vector in enumerate(vectors)
    ]
    usage = EmbeddingUsage(prompt_tokens=sum(counts), total_tokens=sum(counts))
    return Embeddings(data=data, model=str(info["model"]), usage=usage)


def written(vector: np.ndarray, form: str) -> list[float] | str:
    """A vector as numbers or as base64."""
    if form == "base64":
        return base64.b64encode(vector.tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers


@lru_cache(maxsize=4)
def counter_of(model: str, home: Path, prompt: str) -> TokenCounter:
    """Counts tokens as the embedder of these settings does, behind its prompt."""
    return TokenCounter(folder_of(model, home), prompt)
