"""What the service adds to an answer, and what 500 requests at once do to it.

A server in a process of its own, with a real index of the handbook. Overhead of a request: the same
questions, asked in turns over HTTP and of an assistant in this process, which shares the index. Overhead of a
token: CPU time of a process that hears tokens from the engine's child and makes events of them, without the
socket. The crowd has its connections open and its bytes ready: what is measured is the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from ours import BUNDLED, Ours
from report import Row, write

from rag.silence import silence

silence()
# Beside this file lies ingest.py, which would hide the package.
sys.path.append(sys.path.pop(0))

from rag.api.reply import Plain, Reply  # noqa: E402
from rag.assembly import open_system  # noqa: E402
from rag.assistant import Delta, Final  # noqa: E402
from rag.settings import Settings  # noqa: E402
from rag.wire import ChatRequest  # noqa: E402

HANDBOOK = Path(__file__).parents[1] / "data" / "handbook"
QUESTIONS = [
    line for line in (HANDBOOK.parent / "handbook_demo.txt").read_text().splitlines() if line.strip()
]
STARTS, ROUNDS, AT_ONCE, WAVES = 5, 60, 500, 8
TOKENS, PIECES = 300, 20_000
END_OF_TURN = 2  # of the bundled model


@contextlib.contextmanager
def server(home: Path) -> Iterator[tuple[str, int, float]]:
    """A running `rag serve`: its address, process id, and how many seconds it took until it was ready."""
    environment = os.environ | {"RAG_ANSWERING_CACHE": "off"}
    command = [sys.executable, "-m", "rag.cli", "--home", str(home), "serve", "--port", "0"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                ready(found.group())
                yield found.group(), process.pid, time.perf_counter() - began
                break
    finally:
        process.terminate()
        process.wait()


def ready(url: str) -> None:
    """Wait until a server says that it answers."""
    while httpx.get(f"{url}/readyz", timeout=120).status_code != 200:
        time.sleep(0.02)


def cold_start(home: Path) -> list[Row]:
    """Seconds from the command to ready."""
    times = []
    for _ in range(STARTS):
        with server(home) as (_, _, seconds):
            times.append(seconds)
    return [Row("rag serve: ready", statistics.median(times), "s", target=6.0, lower_is_better=True)]


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found.group(1)) / 1024 if found else 0.0


def asking(tier: str, number: int, **fields: object) -> dict[str, object]:
    """The body of a question."""
    question = QUESTIONS[number % len(QUESTIONS)]
    return {"model": tier, "messages": [{"role": "user", "content": question}], **fields}


async def per_request(home: Path, url: str) -> list[Row]:
    """Milliseconds of one answer over HTTP and without it."""
    settings = Settings(home=home, answering={"tier": "extract", "cache": "off"})
    direct, over = list[float](), list[float]()
    async with (
        open_system(settings, generation=False) as system,
        httpx.AsyncClient(base_url=url, timeout=120) as http,
    ):
        for number in range(ROUNDS):
            question = QUESTIONS[number % len(QUESTIONS)]
            began = time.perf_counter()
            async for event in system.assistant.ask(question, system.principal, tier="extract"):
                assert not isinstance(event, Final) or event.answer.text
            direct.append(time.perf_counter() - began)
            began = time.perf_counter()
            reply = await http.post("/v1/chat/completions", json=asking("extract", number))
            assert reply.status_code == 200, reply.text
            over.append(time.perf_counter() - began)
    inside, outside = (1000 * statistics.median(times) for times in (direct, over))
    return [
        Row("one answer, in process", inside, unit="ms"),
        Row("one answer, over HTTP", outside, unit="ms"),
        Row("what HTTP adds", outside - inside, "ms", target=15, lower_is_better=True),
    ]


async def per_token(home: Path) -> list[Row]:
    """CPU-milliseconds of a token that the engine's child says and that is put on the wire."""
    engine = await Ours(home, BUNDLED, [END_OF_TURN]).start()
    prompt = ((tuple(range(1000, 1064)), False),)
    heard = []
    for _ in range(5):
        began, tokens = time.process_time(), 0
        async for _ in engine.stream(prompt, TOKENS):
            tokens += 1
        heard.append((time.process_time() - began) / tokens)
    await engine.engine.close()
    body = ChatRequest(messages=[{"role": "user", "content": "x"}])
    lines = Plain(Reply(body, Asked(), Errand()))  # type: ignore[arg-type]
    began = time.process_time()
    for _ in range(PIECES):
        lines.of(0, Delta(" word"))
    put = (time.process_time() - began) / PIECES
    return [
        Row("CPU of a token, heard from the engine", 1000 * statistics.median(heard), "ms"),
        Row("CPU of a token, made an event", 1000 * put, "ms"),
        Row(
            "both",
            1000 * (statistics.median(heard) + put),
            "ms",
            target=0.3,
            lower_is_better=True,
        ),
    ]


class Errand:
    """As much of one as the head of a reply wants."""

    class system:
        model_sha256 = ""


class Asked:
    """As much of a question as a stream of text wants."""

    class manner:
        schema = ""


async def knock(host: str, port: int, requests: Sequence[bytes]) -> list[tuple[int, float]]:
    """Status and seconds to it of requests that are sent at the same moment over connections already open."""
    lines = [await asyncio.open_connection(host, port) for _ in requests]
    began = time.perf_counter()

    async def one(number: int) -> tuple[int, float]:
        reader, writer = lines[number]
        writer.write(requests[number])
        status = int((await reader.readline()).split()[1])
        seconds = time.perf_counter() - began
        while not (await reader.readline()).startswith(b"\r\n"):
            pass
        writer.close()
        return status, seconds

    return await asyncio.gather(*map(one, range(len(requests))))


async def crowd(url: str, pid: int) -> list[Row]:
    """Statuses, seconds and memory when 500 ask at once, wave after wave."""
    where = urlsplit(url)
    statuses: Counter[int] = Counter()
    late, memory = list[float](), [resident_mb(pid)]
    for _ in range(WAVES):
        requests = [request(where.netloc, json.dumps(asking("extract", each))) for each in range(AT_ONCE)]
        answers = await knock(str(where.hostname), int(where.port or 80), requests)
        statuses.update(status for status, _ in answers)
        if refused := sorted(seconds for status, seconds in answers if status != 200):
            late.append(1000 * refused[int(0.99 * (len(refused) - 1))])
        memory.append(resident_mb(pid))
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    answered = 100 * sum(statuses.values()) / (WAVES * AT_ONCE)
    return [
        Row(f"{WAVES} times {AT_ONCE} at once ({told}): answered", answered, "%", target=100),
        Row(
            "refusals, p99 of a wave, median", statistics.median(late), "ms", target=200, lower_is_better=True
        ),
        Row("refusals, p99 of a wave, worst", max(late), "ms", target=200, lower_is_better=True),
        Row("memory before", memory[0], "MB"),
        Row("memory after the first wave", memory[1], "MB"),
        Row("memory after the last", memory[-1], "MB"),
    ]


def request(host: str, body: str) -> bytes:
    """A question as bytes."""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with open_system(Settings(home=home), generation=False) as system:
            await system.ingest([HANDBOOK])
        rows = cold_start(home)
        with server(home) as (url, pid, _):
            rows += [*await per_request(home, url), *await crowd(url, pid)]
        rows += await per_token(home)
    write("service", rows)


if __name__ == "__main__":
    asyncio.run(main())
