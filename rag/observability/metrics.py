"""Counters of one process in Prometheus' form. No label ever names a person, a document or a collection."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rag.answering.events import Delta, Event, Final
from rag.engine.generator import Finished
from rag.errors import RagError
from rag.observability.census import Census
from rag.types import Answer, DocumentState, JobState

# They tell when each counter was made: a second series for every one, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX = "permafrost"
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FIRST_S = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 4, 8, 16, 32)
BETWEEN_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2)
STAGE_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What happened in this process since it started, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "HTTP requests answered", "route", "method", "status")
        self._request_s = self._histogram(
            "request_seconds", "From request to end of reply", REQUEST_S, "route"
        )
        self._in_flight = self._gauge("requests_in_flight", "HTTP requests that are being answered")
        self._answers = self._counter("answers", "Answers given", "outcome", "tier")
        self._failures = self._counter("failures", "Questions that ended with an error", "code")
        self._first_s = self._histogram(
            "time_to_first_text_seconds", "Until a reader sees text", FIRST_S, "tier"
        )
        self._stage_s = self._histogram("stage_seconds", "Stages of an answer", STAGE_S, "stage")
        self._ttft_s = self._histogram(
            "time_to_first_token_seconds", "Until the model's first token", FIRST_S, "tier"
        )
        self._itl_s = self._histogram(
            "inter_token_seconds", "Between tokens, mean of one answer", BETWEEN_S, "tier"
        )
        self._queue_s = self._histogram(
            "queue_seconds", "Wait before the first step of the model", FIRST_S, "tier"
        )
        self._tokens = self._counter("tokens", "Tokens of the model", "kind")
        self._cached = self._counter("cached_answers", "Answers that were given before", "kind")
        self._cost = self._counter("cost", "What answers cost", "kind", "currency")
        self._energy = self._counter("energy_watt_hours", "Energy of answers")
        self._carbon = self._counter("carbon_grams", "CO2 equivalent of answers")
        self._restarts = self._counter("engine_restarts", "Times that an engine was started again", "tier")
        self._waiting = self._gauge("engine_waiting", "Requests that wait for the model", "tier")
        self._active = self._gauge("engine_active", "Requests that the model works on", "tier")
        self._points = self._gauge("index_points", "Points in the vector index")
        self._documents = self._gauge("documents", "Documents by state", "state")
        self._jobs = self._gauge("jobs", "Runs of ingestion by state", "state")
        self._up = self._gauge("up", "Whether a part answered when it was last asked", "part")
        self._pids: dict[str, int] = {}

    def began(self) -> None:
        """A request came in."""
        self._in_flight.inc()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is a pattern such as /v1/jobs/{job_id}, never what was asked."""
        self._in_flight.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def answered(self, answer: Answer, *, first_s: float | None = None) -> None:
        """An answer was given; `first_s`: seconds until its first text."""
        self._answers.labels(answer.outcome, answer.tier).inc()
        if first_s is not None:
            self._first_s.labels(answer.tier).observe(first_s)
        for stage, seconds in answer.seconds.items():
            if stage != "total":
                self._stage_s.labels(stage).observe(seconds)
        if answer.cached:
            self._cached.labels(answer.cached).inc()
        usage, cost = answer.usage, answer.cost
        self._tokens.labels("prompt").inc(usage.prompt_tokens)
        self._tokens.labels("completion").inc(usage.completion_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)
        self._tokens.labels("approximate").inc(usage.approximate_tokens)
        for kind in ("booked", "marginal", "external"):
            self._cost.labels(kind, cost.currency).inc(max(0.0, getattr(cost, kind)))
        self._cost.labels("loaded", cost.currency).inc(max(0.0, cost.amount))
        self._energy.inc(max(0.0, cost.energy_wh))
        self._carbon.inc(max(0.0, cost.co2e_g))

    def failed(self, error: RagError) -> None:
        """A question ended with this error."""
        self._failures.labels(error.code).inc()

    def generated(self, tier: str, finished: Finished, *, ttft_s: float) -> None:
        """A model has finished a text whose first token came after `ttft_s`, the wait included."""
        self._ttft_s.labels(tier).observe(ttft_s)
        self._queue_s.labels(tier).observe(finished.queue_s)
        if finished.usage.completion_tokens > 1:
            self._itl_s.labels(tier).observe(finished.decode_s / (finished.usage.completion_tokens - 1))

    async def watched(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """The events of one answer, counted as they pass."""
        started, first_s = time.perf_counter(), None
        try:
            async with aclosing(events) as open_events:  # type: ignore[type-var]
                async for event in open_events:
                    if isinstance(event, Delta) and first_s is None:
                        first_s = time.perf_counter() - started
                    elif isinstance(event, Final):
                        self.answered(event.answer, first_s=first_s)
                    yield event
        except RagError as error:
            self.failed(error)
            raise

    def text(self, census: Census) -> bytes:
        """Everything in Prometheus' text form, with what was just counted."""
        self._take(census)
        return generate_latest(self.registry)

    def _take(self, census: Census) -> None:
        for part, answers in census.up.items():
            self._up.labels(part).set(answers)
        for state in DocumentState:
            self._documents.labels(state).set(census.documents.get(state, 0))
        for job_state in JobState:
            self._jobs.labels(job_state).set(census.jobs.get(job_state, 0))
        self._points.set(census.points)
        for tier, engine in census.engines.items():
            self._waiting.labels(tier).set(engine.waiting)
            self._active.labels(tier).set(engine.active)
            self._restarts.labels(tier).inc(self._pids.get(tier, engine.pid) != engine.pid)
            self._pids[tier] = engine.pid

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", help, labels, registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help, labels, registry=self.registry, buckets=buckets)
