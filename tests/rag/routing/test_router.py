from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.errors import BadRequest, Forbidden, SettingsError, UnknownModel
from rag.evaluation.routing import Compared, read
from rag.routing.recording import Result, line, replay
from rag.routing.regression import fit
from rag.routing.router import NEEDED, NUMBERS, Case, Reason, Router
from rag.routing.signals import Draft, Evidence, QuestionKind, Signals
from rag.routing.tiers import declared
from rag.settings import RoutingSettings, Settings
from rag.types import Chunk, Passage

TIERS = ("extract", "small", "large", "outside")
GOOD, BAD = Evidence(0.8, top=0.7, gap=0.2, passages=4, documents=2), Evidence(0.05)


def case(kind: QuestionKind, evidence: Evidence | None = GOOD, **given: object) -> Case:
    kinds = {each: 0.9 if each is kind else 0.1 / (len(QuestionKind) - 1) for each in QuestionKind}
    return Case(Signals(kinds, words=9), evidence, **given)  # type: ignore[arg-type]


@pytest.fixture
def router() -> Router:
    return Router(TIERS, "small", RoutingSettings())


LOOKUP = case(QuestionKind.SIMPLE_LOOKUP)
HARD = case(QuestionKind.MULTI_HOP)


def test_an_ordinary_question_gets_the_usual_tier(router: Router) -> None:
    assert router.choose(LOOKUP).tier == "small"
    assert router.choose(LOOKUP).why == "small: it is an ordinary question (simple lookup)"


def test_a_question_over_several_places_gets_the_next_tier(router: Router) -> None:
    decision = router.choose(HARD)
    assert (decision.tier, decision.reason) == ("large", Reason.HARD)


def test_a_question_that_asks_for_nothing_gets_the_cheapest_tier(router: Router) -> None:
    assert router.choose(case(QuestionKind.CHITCHAT, BAD)).tier == "extract"
    assert router.choose(case(QuestionKind.NO_RETRIEVAL_TOOL, None)).reason is Reason.IDLE


def test_what_the_documents_answer_was_no_small_talk(router: Router) -> None:
    assert router.choose(case(QuestionKind.CHITCHAT, GOOD)).tier == "small"


def test_no_money_is_spent_where_the_documents_hardly_answer(router: Router) -> None:
    decision = router.choose(case(QuestionKind.MULTI_HOP, BAD))
    assert (decision.tier, decision.reason) == ("extract", Reason.NO_EVIDENCE)


def test_a_named_tier_wins(router: Router) -> None:
    decision = router.choose(case(QuestionKind.CHITCHAT, named="outside"))
    assert (decision.tier, decision.reason) == ("outside", Reason.NAMED)


def test_a_name_opens_no_closed_tier(router: Router) -> None:
    closed = {"outside": "no collection may leave"}
    with pytest.raises(Forbidden, match="'outside' may not answer this: no collection may leave"):
        router.choose(case(QuestionKind.MULTI_HOP, named="outside", closed=closed))
    with pytest.raises(UnknownModel, match="no tier 'huge'; have extract"):
        router.choose(case(QuestionKind.MULTI_HOP, named="huge"))


def test_a_closed_tier_is_never_chosen_on_any_way(router: Router) -> None:
    for kind in QuestionKind:
        for before in ("", *TIERS):
            for shut in (
                {"large": "gate"},
                {"large": "gate", "outside": "egress"},
                {"extract": "?", "small": "?"},
            ):
                decision = router.choose(case(kind, closed=shut, before=before))
                assert decision.tier not in shut
                assert router.after(decision, Draft(3, 0)).tier not in shut


def test_a_question_whose_tier_is_closed_gets_the_next_cheaper(router: Router) -> None:
    assert router.choose(replace(HARD, closed={"large": "gate"})).tier == "small"


def test_when_every_tier_is_closed_the_reasons_are_told(router: Router) -> None:
    with pytest.raises(Forbidden, match="small: over budget"):
        router.choose(replace(HARD, closed=dict.fromkeys(TIERS, "over budget")))


def test_a_conversation_stays_with_its_dearer_tier(router: Router) -> None:
    decision = router.choose(replace(LOOKUP, before="large"))
    assert (decision.tier, decision.reason) == ("large", Reason.STICKY)
    assert router.choose(replace(HARD, before="small")).tier == "large"
    loose = Router(TIERS, "small", RoutingSettings(sticky=False))
    assert loose.choose(replace(LOOKUP, before="large")).tier == "small"


def test_a_draft_without_support_is_asked_of_the_next_tier_once(router: Router) -> None:
    first = router.choose(LOOKUP)
    second = router.after(first, Draft(sentences=4, supported=1))
    assert (second.tier, second.reason, second.case.drafted) == ("large", Reason.UNSUPPORTED, ("small",))
    assert router.after(second, Draft(4, 0)) is second


def test_a_draft_with_support_is_kept(router: Router) -> None:
    first = router.choose(LOOKUP)
    assert router.after(first, Draft(4, 3)) is first


def test_a_named_tier_is_not_left(router: Router) -> None:
    first = router.choose(replace(LOOKUP, named="small"))
    assert router.after(first, Draft(4, 0)) is first


def test_no_draft_is_escalated_to_a_closed_tier(router: Router) -> None:
    first = router.choose(replace(LOOKUP, closed={"large": "gate"}))
    assert router.after(first, Draft(4, 0)).tier == "outside"
    shut = router.choose(replace(LOOKUP, closed={"large": "gate", "outside": "egress"}))
    assert router.after(shut, Draft(4, 0)) is shut


def test_a_decision_names_what_was_not_taken_and_what_it_would_have_cost(router: Router) -> None:
    decision = router.choose(
        replace(HARD, closed={"outside": "egress"}, estimates={"small": 0.1, "large": 0.4})
    )
    others = {each.tier: (each.closed, each.estimate) for each in decision.alternatives}
    assert others == {"extract": ("", None), "small": ("", 0.1), "outside": ("egress", None)}


def test_a_recorded_line_leads_to_the_same_decision_and_holds_no_text(router: Router) -> None:
    for given in (
        LOOKUP,
        replace(HARD, before="small", closed={"outside": "egress"}, estimates={"small": 0.1}),
    ):
        decision = router.choose(given)
        assert replay(line(decision), router) == decision
    escalated = router.after(router.choose(LOOKUP), Draft(4, 0))
    tried = {"small": Result(0.0, 0.01), "large": Result(1.0, 0.05)}
    assert replay(line(escalated, tried), router) == escalated


def test_a_line_from_before_the_bar_could_be_set_is_replayed_by_its_profile(router: Router) -> None:
    evidence = Evidence(confidence=0.3)
    recorded = json.loads(line(router.choose(replace(LOOKUP, evidence=evidence))))
    del recorded["case"]["declined_below"]
    for profile, reason in (("standard", Reason.USUAL), ("high", Reason.NO_EVIDENCE)):
        recorded["case"]["profile"] = profile
        assert replay(json.dumps(recorded), router).reason is reason


def test_lines_with_two_outcomes_are_what_is_learned_from(router: Router, tmp_path: Path) -> None:
    tried = {"small": Result(0.25, 0.01), "large": Result(1.0, 0.05)}
    file = tmp_path / "decisions.jsonl"
    file.write_text("\n".join([line(router.choose(LOOKUP), tried), line(router.choose(HARD))]))
    (row,) = read(file)
    assert isinstance(row, Compared)
    assert (row.weak, row.strong, row.weak_cost, row.strong_cost) == (0.25, 1.0, 0.01, 0.05)
    assert row.signals == tuple(router.choose(LOOKUP).signals.values())


def test_a_line_of_another_form_is_refused(router: Router) -> None:
    for wrong in ("", "{}", '{"case": 1}', "[]"):
        with pytest.raises(BadRequest, match="not a recorded decision"):
            replay(wrong, router)


def test_trained_need_decides_instead_of_the_kind() -> None:
    # Long questions needed more, whatever their kind.
    random = np.random.default_rng(1)
    rows = random.random((200, len(NUMBERS)))
    words = NUMBERS.index("words")
    rows[:, words] = random.integers(1, 40, 200)
    labels = [NEEDED if row[words] > 20 else "enough" for row in rows]
    need = fit(rows, labels, about={"signals": list(NUMBERS)})
    router = Router(TIERS, "small", RoutingSettings(), need=need)
    long = replace(LOOKUP, signals=replace(LOOKUP.signals, words=39))
    assert router.choose(long).reason is Reason.NEED
    assert router.choose(replace(HARD, signals=replace(HARD.signals, words=2))).tier == "small"


def test_the_router_of_the_settings_knows_their_tiers(tmp_path: Path) -> None:
    weights = tmp_path / "need.json"
    weights.write_text(
        fit(np.eye(len(NUMBERS))[:2], [NEEDED, "enough"], about={"signals": list(NUMBERS)}).json()
    )
    settings = Settings(home=tmp_path, routing=RoutingSettings(need=weights))
    router = Router.of(declared(settings), settings)
    assert (router.tiers, router.usual) == (("extract", "small"), "small")
    assert router.need is not None


def test_weights_of_another_version_are_refused() -> None:
    weights = fit(np.eye(2), [NEEDED, "enough"], about={"signals": ["other"]})
    with pytest.raises(SettingsError, match="train it anew"):
        Router(TIERS, "small", RoutingSettings(), need=weights)


def test_evidence_tells_the_shape_of_what_was_found() -> None:
    passages = [
        Passage(Chunk(str(n), n, "text"), document_id=f"d{n // 2}", version=1, title="", uri="", score=score)
        for n, score in enumerate((0.9, 0.5, 0.4))
    ]
    assert Evidence.of(passages, 0.6) == Evidence(0.6, top=0.9, gap=0.4, passages=3, documents=2)
    assert Evidence.of([], 0.0) == Evidence(0.0)
