"""One section per area. The only reader of the environment and of rag.toml.

Order: arguments, then RAG_ variables (RAG_ENGINE_THREADS=4), then ./rag.toml (or the file that RAG_CONFIG
names), then the defaults below. An unknown name is an error, so a typo cannot be ignored.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rag.errors import SettingsError
from rag.types import Profile, Tier


def nothing_or_enough(tokens: int) -> int:
    """Refuse a micro-batch in which llama.cpp's kernels lose their speed."""
    if tokens and tokens < 32:
        raise ValueError("0 (as measured) or at least 32 is allowed")
    return tokens


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """`rag serve`."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free port")
    api_key: str = Field("", description="callers must send it as a bearer token; required beyond loopback")
    max_body_bytes: int = Field(2_000_000, gt=0)


class StoreSettings(Section):
    """Where vectors live: Qdrant Edge in the home, or a Qdrant server when `url` is set."""

    url: str = ""
    api_key: str = ""
    collection: str = Field("permafrost", description="name of the collection on a Qdrant server")
    timeout_s: float = Field(2.0, gt=0, description="deadline of one search on a Qdrant server")
    database_url: str = Field("", description="a Postgres database instead of the file in the home")
    min_free_bytes: int = Field(512_000_000, ge=0, description="writes are refused below this much free disk")
    quantisation: Literal["none", "int8", "binary"] = Field(
        "none", description="vectors kept in memory; the best are scored again in full"
    )


class EmbeddingSettings(Section):
    """The model that turns text into vectors."""

    model: str = Field(
        "all-minilm-l6-v2", description="a name in models.lock, or a sentence-transformers folder"
    )
    dimensions: int = Field(0, ge=0, description="numbers kept of each vector (matryoshka models); 0: all")
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", description="auto: bfloat16 with AMX, int8 with VNNI, else float32"
    )
    threads: int = Field(0, ge=0, description="0: all cores")
    batch_tokens: int = Field(2048, gt=0, description="padded tokens of one forward pass")


class IngestSettings(Section):
    """Reading documents."""

    chunk_tokens: int = Field(256, ge=32, description="never more than the embedder reads")
    parse_workers: int = Field(0, ge=0, description="0: one per core, at most 4")
    timeout_s: float = Field(60.0, gt=0, description="wall clock for one document")
    memory_bytes: int = Field(2_000_000_000, gt=0, description="address space for one document")
    max_file_bytes: int = Field(200_000_000, gt=0)
    attempts: int = Field(3, ge=1, description="tries before a document is quarantined")
    ocr: Literal["auto", "off"] = Field(
        "auto", description="auto: Tesseract, where installed, for pages without text"
    )
    ocr_languages: str = Field("eng", description="Tesseract's names, joined by +; auto: guessed")
    passwords: tuple[str, ...] = Field((), description="tried on encrypted documents")
    parser: Literal["auto", "fast", "unstructured"] = Field(
        "auto", description="auto: ours, and unstructured where it fails; fast: ours only"
    )


class RetrievalSettings(Section):
    """Finding passages."""

    leg_limit: int = Field(100, gt=0, description="candidates of each leg before fusion")
    limit: int = Field(8, gt=0, description="passages handed to the answer")
    dense_weight: float = Field(0.4, ge=0, le=1, description="weight of the dense leg before the evidence")
    expand: int = Field(0, ge=0, description="tokens of neighbours in the same section put behind the hits")


class EngineSettings(Section):
    """The frozen model under llama.cpp."""

    model: str = Field("smollm2-135m-instruct", description="a name in models.lock")
    context: int = Field(4096, ge=64, description="tokens of one sequence: prompt and answer")
    slots: int = Field(4, ge=1, le=64, description="sequences at once; each holds `context` cells of KV")
    max_queue: int = Field(64, ge=1, description="requests that wait")
    max_queue_tokens: int = Field(65_536, ge=1, description="prompt tokens that wait")
    threads: int = Field(0, ge=0, description="0: as measured to be fastest, else all cores")
    micro_batch: Annotated[int, AfterValidator(nothing_or_enough)] = Field(
        0, description="tokens of one step, at least 32; 0: as measured, else 512"
    )
    flash_attention: Literal["auto", "on", "off"] = Field("auto", description="auto: as measured, else off")
    tune: bool = Field(
        True, description="measure threads, attention and step size once per model and machine"
    )
    step_target_ms: float = Field(700.0, gt=0, description="longest step while somebody reads along")
    reuse: Literal["auto", "exact", "off"] = Field(
        "auto", description="auto: KV of passages at other positions too, where `rag eval chunk-cache` passed"
    )
    unproven_reuse: bool = Field(False, description="do so without that proof, for measuring")
    lookup: bool = Field(True, description="guess quotes from the passages and check them in one step")
    kv_memory_bytes: int = Field(512_000_000, ge=0, description="KV kept in memory for later prompts")
    kv_disk_bytes: int = Field(2_000_000_000, ge=0, description="KV kept on disk; it outlives a restart")
    memory_bytes: int = Field(
        0, ge=0, description="memory for all models that run at once; 0: three quarters of the machine's"
    )
    gpu_layers: Annotated[int, Field(ge=-1)] | Literal["auto", "all"] = Field(
        "auto", description="layers on the GPU; auto: as many as fit its free memory"
    )
    url: str = Field("", description="an OpenAI-compatible server that runs the model; empty: it runs here")
    api_key: str = ""
    remote_model: str = Field("", description="its name there; empty: the first one it lists")
    remote_template: str = Field("chatml", description="chat template of the model there")


class ModelsSettings(Section):
    """Where `rag models pull` looks."""

    hub: str = Field("", description="address of a hub or of a mirror; empty: only whole addresses")


class AnsweringSettings(Section):
    """Wording and checking answers."""

    tier: Tier = Tier.SMALL
    context_tokens: int = Field(900, gt=0, description="tokens of passages in the prompt")
    max_tokens: int = Field(96, gt=0)
    max_quotes: int = Field(2, ge=1, le=5)
    verbatim: bool = Field(False, description="the model may only say runs of words of the passages")
    profile: Profile = Field(
        Profile.EXPLORATORY,
        description="how much a wrong answer costs: which models may serve (`rag eval quantisation`), when "
        "an answer is declined; from high on no answer is given twice from memory",
    )
    cache: Literal["off", "exact", "semantic"] = Field(
        "exact", description="answers given again: exact to the same question over the same live passages"
    )


class CostSettings(Section):
    """The first meter: CPU-seconds times a rate."""

    cpu_hour_rate: float = Field(0.02, ge=0, description="price of one busy core for one hour")
    currency: str = "EUR"


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="RAG_", env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", frozen=True
    )

    home: Path = Field(Path("kb"), description="the folder that holds database, index and caches")
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    ingest: IngestSettings = IngestSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelsSettings = ModelsSettings()
    answering: AnsweringSettings = AnsweringSettings()
    cost: CostSettings = CostSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("RAG_CONFIG", "rag.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def load(**overrides: Any) -> Settings:
    """The settings in force. Raises SettingsError that names the setting, the value and what is allowed."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise SettingsError(f"there is no setting {where}; README lists them all") from None
        raise SettingsError(f"setting {where} is {problem['input']!r}: {problem['msg']}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"rag.toml cannot be read: {error}") from None
