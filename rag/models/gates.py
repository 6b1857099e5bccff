"""Which models may serve which risk: only those that passed the gate of that profile here.

`rag eval quantisation` writes the results. One is bound to the model's bytes, the build and CPU, the wording
of prompts, the settings of retrieval and the data set; a change of any of them voids it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import ModelError
from rag.models.check import fingerprint
from rag.models.lockfile import Entry
from rag.remembered import recall, remember
from rag.settings import Settings
from rag.types import Profile

FILE = "quantisation-gates.json"
PROMPTS = Path(__file__).parents[1] / "prompts"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a profile asks for. `margin`: the drop that must be ruled out, 0.01 being a percentage point.

    `questions` at least, or `few` of them if at most `few_flips` of the answers changed. `no_fact_lost`: no
    single critical fact may turn from right to wrong, even if others turn right. `signed`: a person signs.
    """

    margin: float
    questions: int
    few: int = 0
    few_flips: float = 0.0
    no_fact_lost: bool = False
    signed: bool = False


TERMS = {
    Profile.EXPLORATORY: Terms(0.05, 350),
    Profile.STANDARD: Terms(0.03, 950),
    Profile.HIGH: Terms(0.02, 2150, few=1100, few_flips=0.05, no_fact_lost=True),
    Profile.RESTRICTED: Terms(0.01, 8600, no_fact_lost=True, signed=True),
}


@dataclass(frozen=True, slots=True)
class Binding:
    """What a result is bound to beside the data set, all of it as digests."""

    model: str
    build: str
    prompt: str
    retrieval: str

    @classmethod
    def of(cls, model: Entry, settings: Settings) -> Binding:
        """What answers with this model and these settings on this machine."""
        return cls(model.sha256, fingerprint(model), prompt_sha256(model), retrieval_sha256(settings))


def passed(home: Path, binding: Binding, profile: Profile) -> bool:
    """Whether exactly this passed the gate of the profile, or of a stricter one. Exploratory has none."""
    if profile is Profile.EXPLORATORY:
        return True
    order = list(Profile)
    return any(
        one.get("verdict") == "PASS" and one.get("profile") in order[order.index(profile) :]
        for one in results(home, binding)
    )


def check(home: Path, model: Entry, settings: Settings, profile: Profile) -> None:
    """Raises ModelError when a model may not serve a profile, with the command that would change it."""
    if profile is Profile.EXPLORATORY:
        return
    if not model.files:
        raise ModelError(
            f"{model.name!r} runs on another server, where nobody can say which bytes answer: it serves "
            f"answering.profile exploratory only, not {profile}"
        )
    if not passed(home, Binding.of(model, settings), profile):
        raise ModelError(
            f"{model.name!r} did not pass the gate of answering.profile {profile} with this build, these "
            f"prompts and these retrieval settings: measure it, `rag eval quantisation "
            f"--candidate {model.name} --reference NAME --profile {profile} --dataset DIR`, or take another"
        )


def results(home: Path, binding: Binding) -> list[dict[str, Any]]:
    """Everything that was measured under this binding; a damaged file proves nothing."""
    known = [one for one in recall(home / FILE).values() if isinstance(one, dict)]
    return [one for one in known if one.get("binding") == asdict(binding)]


def record(home: Path, binding: Binding, profile: Profile, dataset: str, told: dict[str, Any]) -> None:
    """Keep a result, in the place of an earlier one of the same profile and data set. Raises OSError."""
    key = digest([*asdict(binding).values(), profile, dataset])
    bound = {"binding": asdict(binding), "profile": profile, "dataset_sha256": dataset}
    remember(home / FILE, key, {**told, **bound})


def prompt_sha256(model: Entry) -> str:
    """The digest of the prompt's wording and of the chat template around it."""
    return digest(
        [*(file.read_text("utf-8") for file in sorted(PROMPTS.glob("*.txt"))), repr(model.template)]
    )


def retrieval_sha256(settings: Settings) -> str:
    """The digest of the settings that decide which passages a prompt gets, and how long it is."""
    return digest(
        [
            settings.retrieval.model_dump_json(),
            settings.embedding.model_dump_json(exclude={"threads", "batch_tokens"}),
            settings.store.quantisation,
            settings.ingest.chunk_tokens,
            settings.answering.context_tokens,
            settings.answering.max_tokens,
            settings.answering.passages,
            settings.answering.sentences,
        ]
    )


def digest(parts: Iterable[object]) -> str:
    """One digest of several texts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
