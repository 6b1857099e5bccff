from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rag.answering.events import Delta, Event, Final, Sources
from rag.engine.generator import Finished
from rag.errors import Overloaded
from rag.observability.census import Busy, Census
from rag.observability.metrics import Metrics
from rag.types import Answer, Cost, DocumentState, JobState, Outcome, Tier, Usage

GRAFANA = Path(__file__).resolve().parents[3] / "docker" / "grafana"
COST = Cost(0.0002, "EUR", 1.5, "estimate", booked=0.0001, energy_wh=0.5, co2e_g=0.2)
ANSWER = Answer(
    "28 days [1]",
    Outcome.QUOTED,
    Tier.EXTRACT,
    (),
    (),
    Usage(40, 8, 12, 3),
    COST,
    seconds={"retrieve": 0.02, "total": 0.5},
)


def samples(metrics: Metrics, census: Census | None = None) -> dict[str, float]:
    """Every sample, by its name and labels."""
    text = metrics.text(census or Census()).decode()
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def events(*given: Event, error: Exception | None = None) -> AsyncIterator[Event]:
    for event in given:
        await asyncio.sleep(0.02)
        yield event
    if error:
        raise error


def test_an_answer_is_counted_with_its_tokens_stages_and_cost() -> None:
    metrics = Metrics()
    metrics.answered(ANSWER)
    found = samples(metrics)
    assert found['permafrost_answers_total{"outcome": "quoted", "tier": "extract"}'] == 1
    kinds = ("prompt", "completion", "cached", "approximate")
    assert [found[f'permafrost_tokens_total{{"kind": "{kind}"}}'] for kind in kinds] == [40, 8, 12, 3]
    assert found['permafrost_cost_total{"currency": "EUR", "kind": "loaded"}'] == 0.0002
    assert found['permafrost_cost_total{"currency": "EUR", "kind": "booked"}'] == 0.0001
    assert found["permafrost_energy_watt_hours_total{}"] == 0.5
    assert found['permafrost_stage_seconds_sum{"stage": "retrieve"}'] == 0.02
    assert 'permafrost_stage_seconds_sum{"stage": "total"}' not in found


def test_events_pass_unchanged_and_the_first_text_is_timed() -> None:
    metrics, told = Metrics(), (Sources(()), Delta("28 "), Delta("days"), Final(ANSWER))

    async def collect() -> list[tuple[Event, float]]:
        began = time.perf_counter()
        return [(event, time.perf_counter() - began) async for event in metrics.watched(events(*told))]

    passed, arrivals_s = zip(*asyncio.run(collect()), strict=True)
    assert passed == told
    found = samples(metrics)
    first_s = found['permafrost_time_to_first_text_seconds_sum{"tier": "extract"}']
    assert 0.04 <= first_s <= arrivals_s[1]


def test_an_error_passes_and_is_counted_by_its_code() -> None:
    metrics = Metrics()

    async def collect() -> None:
        async for _ in metrics.watched(events(Sources(()), error=Overloaded("64 requests wait already"))):
            pass

    with pytest.raises(Overloaded):
        asyncio.run(collect())
    assert samples(metrics)['permafrost_failures_total{"code": "overloaded"}'] == 1


def test_the_pace_of_the_model_is_the_time_between_its_tokens() -> None:
    metrics = Metrics()
    usage = Usage(completion_tokens=11)
    finished = Finished("stop", usage, prefill_s=1, decode_s=0.5, cpu_s=2, queue_s=0.1)
    metrics.generated("small", finished, ttft_s=1.2)
    found = samples(metrics)
    assert found['permafrost_inter_token_seconds_sum{"tier": "small"}'] == 0.05
    assert found['permafrost_time_to_first_token_seconds_sum{"tier": "small"}'] == 1.2
    assert found['permafrost_queue_seconds_sum{"tier": "small"}'] == 0.1


def test_the_census_fills_every_state_and_notices_a_new_engine_process() -> None:
    metrics = Metrics()
    held = Census({DocumentState.LIVE: 3}, {JobState.RUNNING: 1}, points=70, up={"index": True})
    found = samples(metrics, held)
    assert found['permafrost_documents{"state": "live"}'] == 3
    assert found['permafrost_documents{"state": "quarantined"}'] == 0
    assert found['permafrost_jobs{"state": "running"}'] == 1
    assert found["permafrost_index_points{}"] == 70
    for pid, restarts in ((10, 0), (10, 0), (None, 0), (11, 1), (11, 1)):
        running = {"small": Busy(pid, waiting=2, active=1)} if pid else {}
        found = samples(metrics, Census(engines=running))
        assert found['permafrost_engine_restarts_total{"tier": "small"}'] == restarts
    assert found['permafrost_engine_waiting{"tier": "small"}'] == 2


def test_requests_are_counted_by_pattern_of_route() -> None:
    metrics = Metrics()
    metrics.began()
    assert samples(metrics)["permafrost_requests_in_flight{}"] == 1
    metrics.request("/v1/documents/{document_id}", "GET", 404, 0.02)
    found = samples(metrics)
    assert found["permafrost_requests_in_flight{}"] == 0
    labels = '{"method": "GET", "route": "/v1/documents/{document_id}", "status": "404"}'
    assert found[f"permafrost_requests_total{labels}"] == 1


def test_two_systems_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.answered(ANSWER)
    assert 'permafrost_answers_total{"outcome": "quoted", "tier": "extract"}' not in samples(other)


def names_of(metrics: Metrics) -> set[str]:
    """Every name a query may ask for."""
    found = set()
    for family in text_string_to_metric_families(metrics.text(Census()).decode()):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + end for end in ends}
    return found


def queries(board: Any) -> list[str]:
    """Every query of a dashboard."""
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("board", sorted(GRAFANA.glob("dashboards/*.json")), ids=lambda path: path.stem)
def test_the_dashboard_asks_for_what_there_is_and_shows_all_of_it(board: Path) -> None:
    asked = {name for query in queries(json.loads(board.read_text())) for name in NAME.findall(query)}
    there = names_of(Metrics())
    assert asked <= there
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in there}
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked}
    assert families - shown == set()


NAME = re.compile(r"\bpermafrost_\w+")
