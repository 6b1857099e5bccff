"""Spans of what happens to one question, sent as OTLP where OTEL_EXPORTER_OTLP_ENDPOINT says; else nothing.

Attributes are numbers, and words from a closed vocabulary; text of a question or document cannot get in.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

import rag
from rag.errors import RagError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
# The only attributes that may be words; everything else is a number.
WORDS = frozenset({"route", "method", "tier", "outcome", "cached"})

Value = int | float | bool | str
_around: ContextVar[Any] = ContextVar("permafrost_span", default=None)


class Span:
    """One piece of work, from `with` to its end; an error that passes through is noted by its name.

    Spans opened meanwhile belong to it, unless it is `apart`: for work that hands out results in between.
    """

    def __init__(self, name: str, attributes: dict[str, Value], *, apart: bool, caller: str) -> None:
        self._name, self._attributes, self._apart, self._caller = name, attributes, apart, caller
        self._token: Token[Any] | None = None

    def __enter__(self) -> Self:
        from opentelemetry import trace

        around = _around.get() or context_of(self._caller)
        self._span = tracer().start_span(self._name, context=around)
        self.note(**self._attributes)
        if not self._apart:
            self._token = _around.set(trace.set_span_in_context(self._span))
        return self

    def note(self, **attributes: Value) -> None:
        """Add what is known by now. Words that are not of the vocabulary are left out."""
        for name, value in attributes.items():
            if not isinstance(value, str) or name in WORDS:
                self._span.set_attribute(name, value)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and kind is not GeneratorExit:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute(
                "error.type", error.code if isinstance(error, RagError) else kind.__name__
            )
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        if self._token:
            _around.reset(self._token)


class NoSpan:
    """Stands for a span where nobody collects them."""

    def __enter__(self) -> Self:
        return self

    def note(self, **attributes: Value) -> None:
        """Nothing is kept."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NOWHERE = NoSpan()


def span(name: str, *, apart: bool = False, caller: str = "", **attributes: Value) -> Span | NoSpan:
    """A span around a `with` block. `caller`: a W3C traceparent that came with the request."""
    return Span(name, attributes, apart=apart, caller=caller) if is_collected() else NOWHERE


@functools.cache
def is_collected() -> bool:
    """Whether somebody collects spans, and what sends them is installed; looked up once."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return False
    if all(is_installed(package) for package in PACKAGES):
        return True
    logging.getLogger(__name__).warning(
        "no traces: pip install 'permafrost-rag[tracing]' brings what sends them"
    )
    return False


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


@functools.cache
def tracer() -> Any:
    """The tracer of this process; its spans are sent in batches, the last ones when the process ends.

    The variables of OpenTelemetry's own specification say where to, with which headers and how often.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "permafrost")}
    provider = TracerProvider(resource=Resource.create({**about, "service.version": rag.__version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("permafrost", rag.__version__)


def context_of(traceparent: str) -> Any:
    """The context that a traceparent names; None when there is none."""
    if not traceparent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})
