"""An evaluation through both clients: questions over real HTTP, scores by the code that counts in process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.errors import BadRequest, UnknownModel, WorkerDied
from rag.evaluation.record import Record
from rag.sdk import AsyncClient, Client
from rag.sdk.retry import Retry

QUESTIONS = (
    ("q1", "How many days of paid leave?", "Leave", "28 days"),
    ("q2", "Up to how many euros are hotels paid?", "Travel.md", "140 euros"),
    ("q3", "zebra xylophone", "", ""),
)
TIMES = ("seconds", "first word")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook questions"
    folder.mkdir()

    def write(name: str, objects: list[dict[str, Any]]) -> None:
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in objects))

    write("queries.jsonl", [{"_id": key, "text": text} for key, text, *_ in QUESTIONS])
    answers = [(key, [gold] if gold else []) for key, _, _, gold in QUESTIONS]
    write("answers.jsonl", [{"_id": key, "answers": gold, "answerable": bool(gold)} for key, gold in answers])
    rows = "".join(f"{key}\t{row}\t1\n" for key, _, row, _ in QUESTIONS if row)
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


@pytest.fixture
def client(service: Any) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def without_times(record: Record) -> list[tuple[str, dict[str, float]]]:
    return [
        (one.id, {name: score for name, score in one.scores.items() if name not in TIMES})
        for one in record.asked
    ]


async def awaited(url: str, dataset: Path, **wishes: Any) -> Record:
    async with AsyncClient(url) as client:
        return await client.evaluate(dataset, **wishes)


def test_a_search_of_a_server_is_measured_and_the_record_says_of_which(
    service: Any, client: Client, dataset: Path
) -> None:
    told: list[tuple[int, int]] = []
    record = client.evaluate(
        dataset, collection="handbook", progress=lambda done, total: told.append((done, total))
    )
    assert (record.kind, record.dataset) == ("retrieval", "handbook questions")
    assert [one.id for one in record.asked] == ["q1", "q2"] and told == [(1, 2), (2, 2)]
    assert record.measures()["hit@1"].mean == 1.0
    assert record.asked[0].passages[0].id == "Leave", "a title, a file name, a uri: what the data set says"
    assert record.asked[1].passages[0].id == "Travel.md"
    bound = {name: record.bound[name] for name in ("server", "collection", "readers", "embedder")}
    assert bound == {
        "server": service.url,
        "collection": "handbook",
        "readers": "everyone of default",
        "embedder": "all-minilm-l6-v2",
    }
    assert len(record.bound["dataset"]) == len(record.bound["model"]) == 64
    assert record.currency == "EUR"


def test_answers_of_a_server_are_judged_with_who_was_asked(
    service: Any, client: Client, dataset: Path
) -> None:
    record = client.evaluate(dataset, kind="answers", collection="handbook", tier="extract")
    means = {name: one.mean for name, one in record.measures().items()}
    assert means["right"] == means["grounded"] == means["declined"] == means["citation recall"] == 1.0
    assert means["tokens"] == 48 and means["cost"] == 0.00001 and means["from memory"] == 0
    assert all(one.scores["seconds"] >= one.scores["first word"] > 0 for one in record.asked)
    assert record.bound["models"] == "smollm2-135m-instruct"
    assert {each["tier"] for each in service.library.asked} == {"extract"}
    assert {each["collection"] for each in service.library.asked} == {"handbook"}


@pytest.mark.parametrize("kind", ["retrieval", "answers"])
def test_both_clients_measure_the_same(service: Any, client: Client, dataset: Path, kind: Any) -> None:
    wishes = {"kind": kind, "collection": "handbook", "limit": 2, "seed": 5}
    one, other = client.evaluate(dataset, **wishes), asyncio.run(awaited(service.url, dataset, **wishes))
    assert without_times(one) == without_times(other) and len(one.asked) > 0
    assert (one.bound, one.seed, one.currency) == (other.bound, other.seed, other.currency)


def test_a_client_without_async_measures_inside_a_running_loop_too(client: Client, dataset: Path) -> None:
    async def notebook() -> Record:
        return client.evaluate(dataset, collection="handbook")

    assert len(asyncio.run(notebook()).asked) == 2


def test_what_cannot_be_asked_of_a_server_is_said_before_the_first_question(
    service: Any, client: Client, dataset: Path
) -> None:
    with pytest.raises(BadRequest, match=r"collection=NAME; this key may read 'handbook'"):
        client.evaluate(dataset)
    with pytest.raises(UnknownModel, match=r"no collection 'moon' at .* may read 'handbook'"):
        asyncio.run(awaited(service.url, dataset, collection="moon"))
    with pytest.raises(BadRequest, match="'speed' cannot be measured; have retrieval, answers"):
        client.evaluate(dataset, kind="speed", collection="handbook")  # type: ignore[arg-type]
    (dataset / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tmoon.md\t1\n")
    with pytest.raises(BadRequest, match="names a document of collection 'handbook': 'moon.md'"):
        client.evaluate(dataset, collection="handbook")
    assert service.library.asked == []


@dataclass
class Crowded(httpx.HTTPTransport):
    """The way to a server that refuses some requests before it lets them through."""

    refusals: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and self.refusals:
            headers = {"Retry-After": "1"}
            return httpx.Response(
                self.refusals.pop(), headers=headers, json={"error": {"code": "server_busy"}}
            )
        return super().handle_request(request)


def test_a_busy_server_is_waited_for_and_the_wait_is_nobody_s_latency(
    service: Any, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retry.__init__, "__defaults__", (2, lambda: 0.0))
    started = time.perf_counter()
    with Client(service.url, transport=Crowded([429, 503])) as client:
        record = client.evaluate(dataset, kind="answers", collection="handbook")
    assert time.perf_counter() - started > 2
    assert len(record.asked) == 3 and max(record.values("seconds")) < 1


def test_an_answer_that_fails_in_the_middle_is_asked_for_again(
    service: Any, client: Client, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fall_ill(done: int, total: int) -> None:
        service.library.failure, service.library.fails_after = WorkerDied("the engine died"), 3

    with pytest.raises(WorkerDied, match="the engine died"):
        client.evaluate(dataset, kind="answers", collection="handbook", progress=fall_ill)
    assert [each["question"] for each in service.library.asked] == [QUESTIONS[0][1], *3 * [QUESTIONS[1][1]]]
    assert capsys.readouterr().err.count("asked again") == 2


def test_a_client_that_measures_loads_nothing_that_answers() -> None:
    heavy = ["rag.assembly", "rag.assistant", "llama_cpp", "fastapi", "ingest"]
    code = f"import sys, rag.sdk.evaluating; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
