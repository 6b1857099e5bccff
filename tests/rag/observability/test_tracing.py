"""Spans on their way to a real collector: OTLP over HTTP, parsed from its protobuf form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECRET = "the paid leave of Ms Canary-7731"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An address to send spans to, and what arrived there."""
    arrived: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            arrived.append(request)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", arrived
        server.shutdown()
        thread.join()


def run(program: str, **environment: str) -> str:
    """What a program prints. A process of its own, because a process has one tracer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def spans(arrived: list[ExportTraceServiceRequest]) -> dict[str, Any]:
    """The spans that arrived, by name."""
    return {
        span.name: span
        for request in arrived
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def attributes(span: Any) -> dict[str, Any]:
    """What a span says."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


STAGES = f"""
from rag.errors import DiskFull
from rag.observability.tracing import span

PARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
with span("request", method="POST", caller=PARENT) as whole:
    with span("retrieve", passages=8, question={SECRET!r}):
        with span("rank"):
            pass
    with span("generate", apart=True, tier="small") as generate:
        with span("ground", outcome="answered"):
            pass
        generate.note(prompt_tokens=120, model={SECRET!r})
    try:
        with span("choose"):
            raise DiskFull({SECRET!r})
    except DiskFull:
        pass
    whole.note(status=200)
"""


def test_stages_arrive_as_a_tree_under_the_span_of_the_caller(collector: Any) -> None:
    url, arrived = collector
    run(STAGES, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    found = spans(arrived)
    assert set(found) == {"request", "retrieve", "rank", "generate", "ground", "choose"}
    whole = found["request"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert found["rank"].parent_span_id == found["retrieve"].span_id
    # Work that hands out results in between is no parent of what others do meanwhile.
    assert {found[name].parent_span_id for name in ("retrieve", "generate", "ground", "choose")} == {
        whole.span_id
    }
    assert attributes(found["retrieve"]) == {"passages": 8}
    assert attributes(found["generate"]) == {"tier": "small", "prompt_tokens": 120}
    assert attributes(whole) == {"method": "POST", "status": 200}
    service = {each.key: each.value.string_value for each in arrived[0].resource_spans[0].resource.attributes}
    assert service["service.name"] == "permafrost"


def test_no_text_of_a_question_or_an_error_is_sent(collector: Any) -> None:
    url, arrived = collector
    run(STAGES, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert attributes(spans(arrived)["choose"]) == {"error.type": "disk_full"}
    assert spans(arrived)["choose"].status.code == 2
    assert not any(b"Canary" in request.SerializeToString() for request in arrived)


GENERATOR = """
import asyncio, contextlib
from rag.observability.tracing import span

async def words():
    with span("generate", apart=True):
        for word in ("28", "days"):
            await asyncio.sleep(0)
            yield word

async def ask():
    with span("request"):
        # As the API does: the first event in one task, the others in another, and left in the middle.
        events = words()
        await asyncio.create_task(anext(events))
        async with contextlib.aclosing(events):
            async for word in events:
                with span("ground"):
                    break

asyncio.run(ask())
"""


def test_an_answer_that_moves_between_tasks_and_is_left_early_is_one_trace(collector: Any) -> None:
    url, arrived = collector
    run(GENERATOR, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    found = spans(arrived)
    assert {found[name].parent_span_id for name in ("generate", "ground")} == {found["request"].span_id}
    assert attributes(found["generate"]) == {}


def test_where_nobody_collects_nothing_is_imported_or_timed() -> None:
    program = """
import json, sys, time, timeit
from rag.observability.tracing import span

def work():
    with span("retrieve", passages=8) as retrieve:
        retrieve.note(quotes=2)

seconds = min(timeit.repeat(work, timer=time.process_time, number=10_000, repeat=5)) / 10_000
print(json.dumps([seconds, [name for name in sys.modules if name.startswith("opentelemetry")]]))
"""
    seconds, imported = json.loads(run(program))
    assert imported == []
    assert seconds < 5e-6


def test_without_the_packages_a_server_runs_on_and_says_what_to_install(collector: Any) -> None:
    url, arrived = collector
    hidden = "import sys; sys.modules['opentelemetry.exporter'] = None\n"
    told = "import logging; logging.basicConfig(stream=sys.stdout)\n"
    assert "permafrost-rag[tracing]" in run(hidden + told + STAGES, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert not arrived
