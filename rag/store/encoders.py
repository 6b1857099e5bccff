"""What turns text into vectors in the index process: the models of the settings, found and verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from rag.embedding.dense import DenseEmbedder
from rag.embedding.embedder import Embedder
from rag.embedding.prompts import prompts_for
from rag.embedding.scale import BUNDLED_NAME, Scale, Side, measured
from rag.embedding.sparse import SparseEncoder, TermEncoder
from rag.errors import ModelError, UnknownModel
from rag.models.lockfile import entry
from rag.models.verification import digest, verified
from rag.settings import EmbeddingSettings

if TYPE_CHECKING:
    from rag.embedding.late import TokenEncoder

WEIGHTS = (".safetensors", ".bin")

Encoder = TypeVar("Encoder")


@dataclass(frozen=True, slots=True)
class Encoders:
    """The models of one index; `tokens` None: no late interaction.

    `sha256`: of the embedder's weights. `scales`: what its cosines mean, by the side of the left text.
    `sparse_made_by`, `late_made_by`: name and weights of the others; empty: BM25, and none.
    """

    embedder: Embedder
    sha256: str
    scales: Mapping[Side, Scale]
    sparse: TermEncoder
    sparse_made_by: str = ""
    tokens: TokenEncoder | None = None
    late_made_by: str = ""

    def described(self) -> dict[str, str]:
        """Who makes the sparse vectors, and the token vectors if there are any, for `rag doctor`."""
        sparse, tokens = self.sparse.name, ""
        if self.sparse_made_by:
            sparse = f"{self.sparse_made_by}, reads {self.sparse.max_tokens} tokens"
        if self.tokens:
            tokens = f"{self.late_made_by}, reads {self.tokens.max_tokens} tokens"
        return {"sparse": sparse, "late_interaction": tokens, "prompts": self.embedder.prompts.told}


def open_encoders(settings: EmbeddingSettings, home: Path) -> Encoders:
    """Load what the settings name. Raises ModelError and UnknownModel, which name the setting."""
    # Asked before the first of them sets it to what one question needs.
    threads = settings.threads or torch.get_num_threads()
    embedder, sha256 = open_embedder(settings, home, threads)
    sparse, sparse_made_by = open_sparse(settings.sparse, home, threads)
    tokens, late_made_by = open_late(settings.late_interaction, home, threads)
    return Encoders(embedder, sha256, scales(embedder, sha256), sparse, sparse_made_by, tokens, late_made_by)


def open_embedder(settings: EmbeddingSettings, home: Path, threads: int) -> tuple[DenseEmbedder, str]:
    """The embedder of the settings, and the digest of its weights."""
    folder, sha256 = verified(settings.model, home)
    query, document = settings.query_prompt, settings.document_prompt
    embedder = DenseEmbedder(
        folder,
        name=settings.model,
        dtype=settings.dtype,
        dimensions=settings.dimensions,
        threads=threads,
        batch_tokens=settings.batch_tokens,
        runtime=settings.runtime,
        prompts=prompts_for(settings.model, home, query=query, document=document),
    )
    return embedder, sha256


def scales(embedder: Embedder, sha256: str) -> Mapping[Side, Scale]:
    """What the embedder's cosines mean: known of the bundled one, measured of any other."""
    if sha256 == entry(BUNDLED_NAME).sha256:
        return {"query": Scale(), "document": Scale()}
    return measured(embedder)


def open_sparse(model: str, home: Path, threads: int) -> tuple[TermEncoder, str]:
    """The encoder of the sparse leg, and what made its weights."""
    if not model:
        return SparseEncoder(), ""
    # Here and below: five seconds of imports, for those who have such a model.
    from rag.embedding.learned import LearnedSparse

    name = Path(model).name
    return opened("sparse", model, home, lambda folder: LearnedSparse(folder, name=name, threads=threads))


def open_late(model: str, home: Path, threads: int) -> tuple[TokenEncoder | None, str]:
    """The encoder for late interaction, if there is one, and what made its weights."""
    if not model:
        return None, ""
    from rag.embedding.late import TokenEncoder

    name = Path(model).name
    return opened(
        "late_interaction", model, home, lambda folder: TokenEncoder(folder, name=name, threads=threads)
    )


def opened(setting: str, model: str, home: Path, load: Callable[[Path], Encoder]) -> tuple[Encoder, str]:
    """An encoder that need not be there, and its name with the digest of its weights."""
    try:
        folder, _ = verified(model, home)
        if not folder.is_dir():
            raise ModelError(f"{folder} is no folder")
        return load(folder), f"{Path(model).name}@{weights_of(folder)}"
    except (ModelError, UnknownModel) as error:
        raise type(error)(
            f"embedding.{setting} {model!r} cannot be used: {error}; put it there again, or take the setting "
            "away and `rag reindex`"
        ) from None


def weights_of(folder: Path) -> str:
    """A digest over all weights of a folder: the projection of a token encoder has a file of its own."""
    files = sorted(each for each in folder.rglob("*") if each.suffix in WEIGHTS)
    told = "".join(f"{each.relative_to(folder)} {digest(each)}\n" for each in files)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
