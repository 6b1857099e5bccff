"""One section per area. The only reader of the environment and of rag.toml.

Order: arguments, then RAG_ variables (RAG_ENGINE_THREADS=4), then ./rag.toml (or the file that RAG_CONFIG
names), then the defaults below. An unknown name is an error, so a typo cannot be ignored.
"""

from __future__ import annotations

import os
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rag.errors import SettingsError
from rag.types import Profile


def nothing_or_enough(tokens: int) -> int:
    """Refuse a micro-batch in which llama.cpp's kernels lose their speed."""
    if tokens and tokens < 32:
        raise ValueError("0 (as measured) or at least 32 is allowed")
    return tokens


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(Section):
    """`rag serve`."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free port")
    api_key: str = Field(
        "", description="the owner's key, beside those of `rag keys`; without any, this machine is let in"
    )
    max_body_bytes: int = Field(2_000_000, gt=0)
    max_requests: int = Field(256, gt=0, description="requests at once; more are sent away with 503")
    send_timeout_s: float = Field(30.0, gt=0, description="a reader who takes nothing for so long is dropped")
    public_url: str = Field(
        "", description="address that browsers use, where a proxy stands in front; empty: as they call it"
    )


RoleName = Literal["reader", "contributor", "curator", "operator", "auditor", "admin"]


class OidcSettings(Section):
    """Sign-in through an OpenID provider: code flow for the page, bearer tokens for services."""

    issuer: str = Field("", description="its address, to the letter as in `iss`; empty: nobody signs in")
    client_id: str = ""
    client_secret: str = Field("", description="empty: a public client, secured by PKCE alone")
    audience: str = Field("", description="`aud` that a bearer token must have; empty: client_id")
    jwks_url: str = Field("", description="where its public keys are; empty: as its discovery document says")
    scopes: str = "openid profile email"
    tenant: str = Field("default", description="tenant of everybody who comes this way")
    user_claim: str = Field("sub", description="claim that names the user here; email must be verified")
    groups_claim: str = Field(
        "", description="claim that lists groups; empty: groups come from SCIM and `rag groups` alone"
    )
    everyone: bool = Field(True, description="who signs in for the first time joins the group everyone")
    roles_claim: str = Field("", description="claim that lists roles; empty: as `rag users` says")
    roles: dict[str, RoleName] = Field(default_factory=dict, description="what its values mean here")
    new_role: RoleName = Field("reader", description="role of who signs in for the first time")
    leeway_s: int = Field(30, ge=0, le=60, description="how far clocks may be apart")
    session_s: int = Field(28_800, gt=0, description="how long a session of the page lasts")


class LimitsSettings(Section):
    """What callers may use; 0: as much as they like. The owner on this machine is not limited."""

    requests_per_minute: int = Field(600, ge=0, description="of one key or session")
    tokens_per_minute: int = Field(0, ge=0, description="prompt tokens, of one key or session")
    tenant_requests_per_minute: int = Field(0, ge=0)
    tenant_tokens_per_minute: int = Field(0, ge=0)
    tenant_documents: int = Field(0, ge=0)
    tenant_bytes: int = Field(0, ge=0)
    refusals_per_minute: int = Field(
        60, ge=0, description="requests without a right key from one address, and sign-ins"
    )


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
    query_prompt: str | None = Field(
        None, description="what stands before a question; unset: as the model's files or its family say"
    )
    document_prompt: str | None = Field(None, description="the same before a passage")
    dimensions: int = Field(0, ge=0, description="numbers kept of each vector (matryoshka models); 0: all")
    sparse: str = Field(
        "", description="a learned sparse encoder (SPLADE), name or folder, in place of BM25; empty: BM25"
    )
    late_interaction: str = Field(
        "",
        description="a token encoder (ColBERT), name or folder, to score the hits of both legs again",
    )
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", description="auto: bfloat16 with AMX, int8 with VNNI, else float32"
    )
    runtime: Literal["torch", "onnx", "openvino"] = Field(
        "torch", description="onnx, openvino: from a graph in the model's folder, int8 where there is one"
    )
    threads: int = Field(0, ge=0, description="0: all cores")
    batch_tokens: int = Field(
        0, ge=0, description="padded tokens of one forward pass; 0: 512 on a core, 16384 on a GPU"
    )


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
    parsers: dict[str, str] = Field(
        {}, description='your own, by extension or media type: {".dwg": "package.module:Class"}'
    )


class RetrievalSettings(Section):
    """Finding passages."""

    leg_limit: int = Field(100, gt=0, description="candidates of each leg before fusion")
    limit: int = Field(8, gt=0, description="passages handed to the answer")
    dense_weight: float = Field(0.4, ge=0, le=1, description="weight of the dense leg before the evidence")
    reranker: str = Field(
        "", description="a cross-encoder, name or folder, that reads the best 20 passages again"
    )
    reranker_runtime: Literal["torch", "onnx", "openvino"] = Field(
        "torch", description="onnx, openvino: from a graph in the model's folder, int8 where there is one"
    )
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
    repack: Literal["auto", "on", "off"] = Field(
        "auto", description="weights rearranged for this CPU as they are loaded; auto: as measured, else on"
    )
    tune: bool = Field(
        True, description="measure weights, threads, attention and step size once per model and machine"
    )
    step_target_ms: float = Field(600.0, gt=0, description="longest step while somebody reads along")
    reuse: Literal["auto", "exact", "off"] = Field(
        "auto", description="auto: KV of passages at other positions too, where `rag eval chunk-cache` passed"
    )
    unproven_reuse: bool = Field(False, description="do so without that proof, for measuring")
    lookup: bool = Field(True, description="guess quotes from the passages and check them in one step")
    kv_memory_bytes: int = Field(512_000_000, ge=0, description="KV kept in memory for later prompts")
    kv_disk_bytes: int = Field(
        2_000_000_000, ge=0, description="KV kept on disk by all models of the home; it outlives a restart"
    )
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

    tier: str = Field("small", description="the usual one: extract, small, or one of [tiers]")
    context_tokens: int = Field(900, gt=0, description="tokens of passages in the prompt")
    max_tokens: int = Field(96, gt=0)
    max_quotes: int = Field(2, ge=1, le=5)
    passages: int = Field(
        0,
        ge=0,
        le=50,
        description="passages the model reads, within context_tokens; 0: those that are "
        "quoted for one of less than 300 MB, else 6",
    )
    sentences: int = Field(
        0, ge=0, le=20, description="sentences it may say; 0: 1 for one of less than 300 MB, else 3"
    )
    verbatim: bool = Field(False, description="the model may only say runs of words of the passages")
    profile: Profile = Field(
        Profile.EXPLORATORY,
        description="how much a wrong answer costs: which models may serve (`rag eval quantisation`), when "
        "an answer is declined; from high on no answer is given twice from memory",
    )
    decline_below: float | None = Field(
        None,
        ge=0,
        le=1,
        description="confidence below which an answer is declined; unset: .24, from profile high on .33; "
        "`rag eval answers` shows what others would do",
    )
    cache: Literal["off", "exact", "semantic"] = Field(
        "exact", description="answers given again: exact to the same question over the same live passages"
    )


class ConversationsSettings(Section):
    """What readers asked, kept for them."""

    keep_days: int = Field(90, ge=0, description="days without a new question; 0: kept for ever")


class HardwareSettings(Section):
    """The machine and the room it stands in. What is not set comes from rag/cost/constants.json, and reports
    say so; `rag cost profile` detects what it can."""

    name: str = Field("", description="what reports call this machine")
    price: float | None = Field(None, ge=0, description="what it cost, in cost.currency")
    residual: float = Field(0.0, ge=0, description="what it will be sold for at the end")
    life_years: float | None = Field(None, gt=0, description="years it is written off over, straight line")
    idle_watts: float | None = Field(None, ge=0, description="power of the whole machine with nothing to do")
    busy_watts: float | None = Field(None, gt=0, description="the same at full load")
    pue: float | None = Field(None, ge=1, description="power of the room over power of its machines")
    price_kwh: float | None = Field(None, ge=0, description="electricity, in cost.currency")
    opex_hour: float | None = Field(None, ge=0, description="support, rack and administration for one hour")
    grid: str = Field("world", description="two letters of the country whose grid it hangs on, or world")
    grid_g_kwh: float | None = Field(None, ge=0, description="gCO2e of one kWh as your supplier states it")
    embodied_kg: float | None = Field(None, ge=0, description="kgCO2e of making the machine")
    cores: int = Field(0, ge=0, description="0: those this process may use")
    meter: Literal["auto", "model", "rapl", "ipmi", "http"] = Field(
        "auto", description="where energy is read; auto: the best that answers, else the power model"
    )
    meter_url: str = Field("", description="an HTTP address that tells watts: a smart plug, or a query URL")
    meter_path: str = Field("", description="where the watts stand in its JSON, as data.result.0.value.1")


class CostSettings(Section):
    """What money is counted in, and what one question may cost."""

    currency: str = "EUR"
    exchange: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="what one unit of another currency is worth, as {USD = 0.9}"
    )
    max_per_query: float = Field(0.0, ge=0, description="the most that one question may cost; 0: no cap")
    ladder: tuple[Literal["fewer_chunks", "shorter_answer", "smaller_tier", "queue"], ...] = Field(
        ("fewer_chunks", "shorter_answer", "smaller_tier", "queue"),
        description="what is tried, in this order, before a question is refused for its cost",
    )
    break_even_with: tuple[str, ...] = Field(
        ("gpt-5.6-luna", "ministral-8b-latest", "claude-4.5-haiku", "gpt-5.5"),
        description="models of rag/cost/prices.json that `rag cost report` compares with",
    )


class BudgetSettings(Section):
    """One budget: the most that a tenant, user, key, group or collection may use in a day or month."""

    scope: Literal["tenant", "user", "key", "group", "collection"]
    subject: str = "*"  # of that scope; *: each one has this much
    tenant: str = "default"
    period: Literal["day", "month"] = "month"
    unit: Literal["money", "wh", "gco2e", "seconds"] = "money"
    limit: float = Field(ge=1e-6, le=1e9)
    soft: float = Field(0.8, gt=0, le=1)  # part of the limit from which on there are warnings
    on_limit: Literal["degrade", "refuse"] = "degrade"


class PriceSettings(Section):
    """What an outside model costs, per million tokens; goes before rag/cost/prices.json."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)
    currency: str = "USD"
    as_of: date  # when somebody last looked; not older than 90 days
    source: str = "rag.toml"


class EgressSettings(Section):
    """What may leave for an external tier: nothing, until a tenant and a collection are named."""

    tenants: tuple[str, ...] = ()  # whose questions may leave
    collections: tuple[str, ...] = ()  # whose documents may leave; "*": all
    labels: tuple[str, ...] = ()  # a labelled document leaves only if all its labels are here; "*": any
    redact: Literal["all", "structured"] = "all"  # all: also names and addresses, as far as rules find them


class TierSettings(Section):
    """One way to word an answer."""

    kind: Literal["extract", "local", "remote", "external"]
    model: str = ""  # local: a name in models.lock; remote and external: its name there
    urls: tuple[str, ...] = ()  # several servers may share the work
    # Of a token at each of them, against each other; empty: all the same.
    url_prices: tuple[Annotated[float, Field(ge=0)], ...] = ()
    template: str = "chatml"  # chat template of a remote model
    api_key_env: str = ""  # the environment variable that holds the key
    price: str = ""  # measured, or a name in rag/cost/prices.json or [prices]; empty: by the model's name
    context: int = Field(4096, ge=64)  # tokens of prompt and answer
    max_tokens: int = Field(96, gt=0)
    passages: int = Field(0, ge=0, le=50)  # that it reads; 0: as [answering] says
    sentences: int = Field(0, ge=0, le=20)  # that it may say; 0: as [answering] says
    slots: int = Field(4, ge=1)  # requests that one server takes at once
    deadline_s: float = Field(30.0, gt=0)  # within which an answer shall be whole
    egress: EgressSettings = EgressSettings()

    @property
    def key(self) -> str:
        """The key for its servers. Raises SettingsError when the variable that shall hold it is not set."""
        if self.api_key_env and self.api_key_env not in os.environ:
            raise SettingsError(f"the environment has no {self.api_key_env}, which a tier names as its key")
        return os.environ.get(self.api_key_env, "")

    @model_validator(mode="after")
    def _whole(self) -> TierSettings:
        if self.kind in ("local", "external") and not self.model:
            raise ValueError(f"a tier of kind {self.kind} needs a model")
        if self.kind in ("remote", "external") and not self.urls:
            raise ValueError(f"a tier of kind {self.kind} needs urls")
        if self.url_prices and len(self.url_prices) != len(self.urls):
            raise ValueError("url_prices needs one price for each of urls, or none")
        if self.kind == "external" and self.price == "measured":
            raise ValueError("an external tier has a price in the table of prices, not a measured one")
        return self


class RoutingSettings(Section):
    """Which tier answers when nobody names one."""

    usual: str = Field("", description="tier of ordinary questions; empty: answering.tier")
    sticky: bool = Field(True, description="a conversation does not go back to a cheaper tier on its own")
    escalations: int = Field(1, ge=0, description="dearer tiers that are tried after a draft fails its check")
    supported: float = Field(
        0.5, ge=0, le=1, description="part of a draft's sentences that passages must support to keep it"
    )
    need: Path | None = Field(
        None, description="weights from `rag eval routing --train` that tell which questions need more"
    )
    need_above: float = Field(0.5, ge=0, le=1, description="from which probability of need on they get it")
    triage: Path | None = Field(None, description="weights for kinds of questions; none: the packaged ones")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="RAG_", env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", frozen=True
    )

    home: Path = Field(Path("kb"), description="the folder that holds database, index and caches")
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    server: ServerSettings = ServerSettings()
    oidc: OidcSettings = OidcSettings()
    limits: LimitsSettings = LimitsSettings()
    store: StoreSettings = StoreSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    ingest: IngestSettings = IngestSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    engine: EngineSettings = EngineSettings()
    models: ModelsSettings = ModelsSettings()
    answering: AnsweringSettings = AnsweringSettings()
    conversations: ConversationsSettings = ConversationsSettings()
    hardware: HardwareSettings = HardwareSettings()
    cost: CostSettings = CostSettings()
    budgets: tuple[BudgetSettings, ...] = Field(
        (), description="[[budgets]]: scope, subject, period, unit, limit, soft, on_limit"
    )
    prices: dict[str, PriceSettings] = Field(
        default_factory=dict, description="[prices.MODEL]: input, output, cached, currency, as_of"
    )
    tiers: dict[str, TierSettings] = Field(
        default_factory=dict,
        description="[tiers.NAME], from cheap to dear: kind, model, urls, template, api_key_env, price, "
        "url_prices, context, max_tokens, passages, sentences, slots, deadline_s, egress",
    )
    routing: RoutingSettings = RoutingSettings()

    def named_models(self) -> dict[str, str]:
        """The models of this machine that are in use, by the setting that names them."""
        tiers = {
            f"tiers.{name}.model": tier.model for name, tier in self.tiers.items() if tier.kind == "local"
        }
        named = {
            "engine.model": "" if self.engine.url else self.engine.model,
            "embedding.model": self.embedding.model,
            "embedding.sparse": self.embedding.sparse,
            "embedding.late_interaction": self.embedding.late_interaction,
            "retrieval.reranker": self.retrieval.reranker,
        }
        return {setting: model for setting, model in (named | tiers).items() if model}

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
