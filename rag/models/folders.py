"""A sentence-transformers folder as a frozen model: what it holds, and which of its files are pinned."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError, safe_open

from rag.embedding.files import EncoderKind, kind_of, said
from rag.embedding.prompts import Prompts, prompts_of
from rag.embedding.tokens import TokenCounter
from rag.errors import ModelError

WEIGHTS = (".safetensors", ".bin")
BESIDE = (".json", ".txt", ".model")  # settings, vocabularies, sentencepiece
# Graphs of other runtimes, often a dozen of each; taken only when asked for.
GRAPHS = ("onnx", "openvino")
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Held:
    """What a folder is good for. `files`: relative to it, the weights first."""

    kind: EncoderKind
    files: tuple[str, ...]
    licence: str
    languages: tuple[str, ...]
    quantisation: str
    prompts: Prompts


def wanted(paths: Iterable[str], *, graphs: bool = False) -> list[str]:
    """The files that are read when the model runs, by their names: weights first, those of the root before.

    Of the same weights twice the safetensors are taken. Raises ModelError where there are none.
    """
    all_paths = sorted(paths)
    safe = {str(PurePosixPath(path).parent) for path in all_paths if path.endswith(".safetensors")}
    weights, rest = [], []
    for path in all_paths:
        pure = PurePosixPath(path)
        if any(part.startswith(".") for part in pure.parts):
            continue
        if pure.parts[0] in GRAPHS:
            if graphs:
                rest.append(path)
        elif pure.suffix == ".safetensors" or (pure.suffix == ".bin" and str(pure.parent) not in safe):
            weights.append(path)
        elif pure.suffix in BESIDE:
            rest.append(path)
    if not weights:
        raise ModelError("it has no weights: neither .safetensors nor .bin")
    return [*sorted(weights, key=lambda path: (path.count("/"), path)), *rest]


def examine_folder(folder: Path, *, graphs: bool = False, licence: str = "", called: str = "") -> Held:
    """What a folder holds. Raises ModelError with the reason when nothing here could run it.

    `called`: the name of the model, by which its family is known.
    """
    if (kind := kind_of(folder)) is None:
        raise ModelError(
            f"{folder} holds no known encoder: neither a sentence-transformers folder (modules.json) nor a "
            "SPLADE, ColBERT or cross-encoder"
        )
    try:
        files = wanted(below(folder), graphs=graphs)
    except ModelError as error:
        raise ModelError(f"{folder} cannot be used: {error}") from None
    if kind == "embedder":
        TokenCounter(folder)  # tells what is missing of a tokenizer, or of its length
    card = about(folder / CARD)
    languages = card.get("language") or ()
    listed = [languages] if isinstance(languages, str) else languages if isinstance(languages, list) else []
    return Held(
        kind=kind,
        files=tuple(files),
        licence=licence or str(card.get("license") or "not stated"),
        languages=tuple(each for each in map(str, listed) if each.isalpha() and len(each) in (2, 3)),
        quantisation=number_format(folder, [path for path in files if path.endswith(WEIGHTS)]),
        prompts=prompts_of(folder, called=called) if kind == "embedder" else Prompts(),
    )


def below(folder: Path) -> list[str]:
    """Every file of a folder, relative to it. Links are followed: a hub's cache is made of them."""
    found = []
    for parent, _, names in os.walk(folder):
        found += [(Path(parent) / name).relative_to(folder).as_posix() for name in names]
    return found


def about(card: Path) -> dict[str, object]:
    """The settings at the head of a model card; none where they cannot be read."""
    from huggingface_hub.repocard import metadata_load

    try:
        return dict(metadata_load(card) or {})
    except Exception:  # YAML's own errors; what a card says is worth no refusal
        return {}


def number_format(folder: Path, weights: Sequence[str]) -> str:
    """How most numbers are kept, as safetensors calls it; by the settings for other files."""
    if not weights[0].endswith(".safetensors"):
        named = said(folder / "config.json")
        told = str(named.get("dtype") or named.get("torch_dtype") or "float32")
        return {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}.get(told, told)
    numbers: Counter[str] = Counter()
    for path in weights:
        if path.endswith(".safetensors"):
            numbers += numbers_of(folder / path)
    return numbers.most_common(1)[0][0]


def numbers_of(file: Path) -> Counter[str]:
    """How many numbers of each format a file has. Raises ModelError for one that is damaged or cut off."""
    found: Counter[str] = Counter()
    try:
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                tensor = tensors.get_slice(name)
                found[tensor.get_dtype()] += prod(tensor.get_shape())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} is damaged: {error}; fetch it again") from None
    return found
