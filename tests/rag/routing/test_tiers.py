from pathlib import Path
from typing import Any

import pytest

from rag.errors import ModelError, SettingsError, UnknownModel
from rag.routing.opening import fleet_of, open_voices
from rag.routing.tiers import TierKind, declared
from rag.settings import AnsweringSettings, EngineSettings, RoutingSettings, Settings, TierSettings, load
from rag.types import Profile

LARGE = TierSettings(kind="remote", urls=("http://127.0.0.1:9",), model="big")
OUTSIDE = TierSettings(kind="external", model="gpt-5.6-luna", urls=("https://api.example.org",))


def settings(home: Path, **given: object) -> Settings:
    return Settings(home=home, **given)  # type: ignore[arg-type]


def test_without_a_declaration_there_are_extract_and_small(tmp_path: Path) -> None:
    tiers = declared(settings(tmp_path))
    assert tiers.names == ("extract", "small")
    small = tiers.get("small")
    assert (small.kind, small.model, small.price) == (TierKind.LOCAL, "smollm2-135m-instruct", "measured")


def test_small_is_remote_where_the_engine_is(tmp_path: Path) -> None:
    small = declared(settings(tmp_path, engine=EngineSettings(url="http://127.0.0.1:9"))).get("small")
    assert (small.kind, small.urls, small.template) == (TierKind.REMOTE, ("http://127.0.0.1:9",), "chatml")


def test_declared_tiers_stand_behind_in_their_order(tmp_path: Path) -> None:
    tiers = declared(settings(tmp_path, tiers={"large": LARGE, "outside": OUTSIDE}))
    assert tiers.names == ("extract", "small", "large", "outside")
    assert tiers.get("outside").price == "gpt-5.6-luna"


def test_a_cheaper_tier_may_be_declared_before_small(tmp_path: Path) -> None:
    micro = TierSettings(kind="local", model="smollm2-135m-instruct")
    tiers = declared(settings(tmp_path, tiers={"micro": micro, "small": LARGE}))
    assert tiers.names == ("extract", "micro", "small")


def test_rag_toml_declares_tiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVIDER_KEY", "secret")
    (tmp_path / "rag.toml").write_text(
        '[tiers.outside]\nkind = "external"\nmodel = "m"\nurls = ["https://api.example.org"]\n'
        'api_key_env = "PROVIDER_KEY"\n[tiers.outside.egress]\ncollections = ["public"]\n'
    )
    outside = declared(load()).get("outside")
    assert (outside.key, outside.egress.collections) == ("secret", ("public",))
    assert "secret" not in repr(outside)


def test_an_unknown_tier_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="no tier 'huge'; have extract, small"):
        declared(settings(tmp_path)).get("huge")


@pytest.mark.parametrize("name", ["auto", "a/b", "Large", ""])
def test_a_name_that_callers_could_not_send_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="a name has"):
        declared(settings(tmp_path, tiers={name: LARGE}))


def test_a_usual_tier_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"routing\.usual is 'huge'; have extract, small"):
        declared(settings(tmp_path, routing=RoutingSettings(usual="huge")))


def test_a_missing_key_is_named_by_its_variable(tmp_path: Path) -> None:
    keyed = OUTSIDE.model_copy(update={"api_key_env": "NO_SUCH_KEY"})
    with pytest.raises(SettingsError, match="NO_SUCH_KEY"):
        declared(settings(tmp_path, tiers={"outside": keyed}))


def test_prices_of_servers_are_one_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="one price for each of urls"):
        load(tiers={"large": {"kind": "remote", "urls": ["http://a", "http://b"], "url_prices": [1.0]}})


@pytest.mark.parametrize(
    "fields", [{"kind": "local"}, {"kind": "remote"}, {"kind": "external", "model": "m"}]
)
def test_a_tier_without_what_its_kind_needs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="needs"):
        load(tiers={"large": fields})


def test_a_profile_closes_every_tier_without_a_passed_gate(tmp_path: Path) -> None:
    strict = settings(
        tmp_path,
        answering=AnsweringSettings(profile=Profile.STANDARD),
        tiers={"large": LARGE, "out": OUTSIDE},
    )
    barred = declared(strict).barred(strict)
    assert set(barred) == {"small", "large", "out"}
    assert "rag eval quantisation" in str(barred["small"])
    assert "runs on another server" in str(barred["out"])


def test_a_model_whose_file_is_not_here_closes_its_tier(tmp_path: Path) -> None:
    lock = tmp_path / "models" / "models.lock"
    lock.parent.mkdir()
    lock.write_text(
        '[big]\nkind = "generator"\nfile = "big.gguf"\nlicence = "MIT"\nquantisation = "Q4_K_M"\n'
        'source = "https://example.org"\nfiles = {"big.gguf" = {sha256 = "00", size = 1}}\n'
    )
    given = settings(tmp_path, tiers={"large": TierSettings(kind="local", model="big")})
    barred = declared(given).barred(given)
    assert isinstance(barred["large"], ModelError)
    assert "not installed" in str(barred["large"])


@pytest.mark.parametrize(
    ("settings", "by_name_only"),
    [
        ({}, set()),
        ({"answering": {"tier": "extract"}}, {"small"}),
        ({"answering": {"tier": "extract"}, "routing": {"usual": "small"}}, set()),
        (
            {
                "answering": {"tier": "extract"},
                "tiers": {"small": {"kind": "local", "model": "smollm2-135m-instruct"}},
            },
            set(),
        ),
    ],
)
def test_who_wants_quotes_only_gets_no_model_unless_it_is_named_or_declared(
    settings: dict[str, Any], by_name_only: set[str], tmp_path: Path
) -> None:
    assert open_voices(Settings(home=tmp_path, **settings)).by_name_only == by_name_only


def test_tiers_of_one_model_share_one_engine_in_the_longest_context(tmp_path: Path) -> None:
    model = Settings().engine.model
    brief = {"kind": "local", "model": model, "context": 2048, "sentences": 1}
    full = {"kind": "local", "model": model, "context": 3072, "passages": 6}
    settings = Settings(home=tmp_path, tiers={"small": brief, "full": full})
    fleet = fleet_of(declared(settings), settings)
    assert fleet is not None and fleet.contexts == {model: 3072}
    alone = Settings(home=tmp_path)
    assert fleet_of(declared(alone), alone) is None
    voices = open_voices(settings)
    assert {name: (voice.context, voice.ability.passages) for name, voice in voices.of.items()} == {
        "small": (2048, 0),
        "full": (3072, 6),
    }
