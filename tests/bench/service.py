"""What the service adds to an answer, and what 500 requests at once do to it.

A server in a process of its own, with a real index of the handbook and the extract tier. Overhead: the same
questions, asked in turns over HTTP and of an assistant in this process, which shares the index.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
from report import Row, write

from rag.silence import silence

silence()
# Beside this file lies ingest.py, which would hide the package.
sys.path.append(sys.path.pop(0))

from rag.assembly import open_system  # noqa: E402
from rag.assistant import Delta, Final  # noqa: E402
from rag.settings import Settings  # noqa: E402

HANDBOOK = Path(__file__).parents[1] / "data" / "handbook"
QUESTIONS = [
    line for line in (HANDBOOK.parent / "handbook_demo.txt").read_text().splitlines() if line.strip()
]
ROUNDS, AT_ONCE = 40, 500


@contextlib.contextmanager
def server(home: Path) -> Iterator[tuple[str, int]]:
    """A running `rag serve`: its address and process id."""
    environment = os.environ | {"RAG_ANSWERING_TIER": "extract", "RAG_ANSWERING_CACHE": "off"}
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield found.group(), process.pid
                break
    finally:
        process.terminate()
        process.wait()


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found.group(1)) / 1024 if found else 0.0


async def overhead(home: Path, url: str) -> list[Row]:
    """Milliseconds of one request over HTTP and without it, and of one piece of a stream."""
    settings = Settings(home=home, answering={"tier": "extract", "cache": "off"})
    direct, over, streamed, pieces = list[float](), list[float](), list[float](), list[int]()
    async with open_system(settings, generation=False) as system, httpx.AsyncClient(base_url=url) as http:
        for number in range(ROUNDS):
            question = QUESTIONS[number % len(QUESTIONS)]
            body = {"model": "extract", "messages": [{"role": "user", "content": question}]}
            began = time.perf_counter()
            async for event in system.assistant.ask(question, system.principal, tier="extract"):
                assert not isinstance(event, Final) or event.answer.text
            direct.append(time.perf_counter() - began)
            began = time.perf_counter()
            reply = await http.post("/v1/chat/completions", json=body)
            assert reply.status_code == 200, reply.text
            over.append(time.perf_counter() - began)
            began = time.perf_counter()
            reply = await http.post("/v1/chat/completions", json=body | {"stream": True})
            streamed.append(time.perf_counter() - began)
            pieces.append(reply.text.count("data: "))
    inside, outside = (1000 * statistics.median(times) for times in (direct, over))
    return [
        Row("one answer, in process", inside, unit="ms"),
        Row("one answer, over HTTP", outside, unit="ms"),
        Row("what HTTP adds", outside - inside, "ms", target=15, lower_is_better=True),
        Row("the same, streamed", 1000 * statistics.median(streamed) - inside, unit="ms"),
    ]


async def per_piece() -> list[Row]:
    """Milliseconds that one streamed piece of text takes from the assistant to the wire."""
    from rag.api.reply import Plain, Reply
    from rag.wire import ChatRequest

    class Nobody:
        model_sha256 = ""

    class Errand:
        system = Nobody()

    class Asked:
        class manner:
            schema = ""

    body = ChatRequest(messages=[{"role": "user", "content": "x"}])
    plain = Plain(Reply(body, Asked(), Errand()))  # type: ignore[arg-type]
    count = 20_000
    began = time.perf_counter()
    for _ in range(count):
        plain.of(0, Delta(" word"))
    return [
        Row(
            "one piece of a stream",
            1000 * (time.perf_counter() - began) / count,
            "ms",
            target=0.3,
            lower_is_better=True,
        )
    ]


async def crowd(url: str, pid: int) -> list[Row]:
    """Statuses, seconds and memory when 500 ask at once, three times."""
    statuses: Counter[int] = Counter()
    refused, before = list[float](), resident_mb(pid)
    limits = httpx.Limits(max_connections=AT_ONCE)
    memory = []
    for _ in range(3):
        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:

            async def one(number: int, http: httpx.AsyncClient = http) -> None:
                question = QUESTIONS[number % len(QUESTIONS)]
                body = {"model": "extract", "messages": [{"role": "user", "content": question}]}
                began = time.perf_counter()
                reply = await http.post("/v1/chat/completions", json=body)
                statuses[reply.status_code] += 1
                if reply.status_code != 200:
                    refused.append(time.perf_counter() - began)

            await asyncio.gather(*map(one, range(AT_ONCE)))
        memory.append(resident_mb(pid))
    refused.sort()
    late = 1000 * refused[int(0.99 * (len(refused) - 1))] if refused else 0.0
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    return [
        Row(
            f"500 at once, three times ({told}): refusals, p99", late, "ms", target=200, lower_is_better=True
        ),
        Row("memory before", before, unit="MB"),
        Row("memory after the first 500", memory[0], unit="MB"),
        Row("memory after the third", memory[2], unit="MB"),
    ]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with open_system(Settings(home=home), generation=False) as system:
            await system.ingest([HANDBOOK])
        with server(home) as (url, pid):
            rows = [*await overhead(home, url), *await per_piece(), *await crowd(url, pid)]
    write("service", rows)


if __name__ == "__main__":
    asyncio.run(main())
