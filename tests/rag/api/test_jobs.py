from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from rag.types import Principal

pytestmark = pytest.mark.model


def followed(house: Any, job: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a job, to the end of the stream."""
    text = house.http.get(f"/v1/jobs/{job}/events").text
    found = []
    for event in filter(None, text.split("\n\n")):
        if not event.startswith(":"):
            kind, data = event.split("\n")
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_job_is_followed_to_its_end(house: Any) -> None:
    job = house.upload("followed", a__txt="One.", b__txt="Two.")["job"]
    events = followed(house, job)
    assert [kind for kind, _ in events][-1] == "done"
    assert {kind for kind, _ in events[:-1]} == {"progress"}
    last = events[-1][1]
    assert (last["state"], last["progress"]["documents"], last["waiting"]) == ("done", 2, 0)
    assert last["progress"]["bottleneck"] in ("fetch", "parse", "embed", "write", "flush")
    assert followed(house, job) == [("done", last)]


def test_what_arrives_together_is_one_job_and_what_differs_is_another(house: Any) -> None:
    with house.resting():
        one, two = house.upload("a shelf", a__txt="One."), house.upload("a shelf", b__txt="Two.")
        other = house.upload("another shelf", a__txt="Three.")
        assert one["job"] == two["job"] != other["job"]
        assert house.http.get(f"/v1/jobs/{one['job']}").json()["waiting"] == 2
    assert house.finish(one["job"])["progress"]["documents"] == 2
    assert house.finish(other["job"])["progress"]["documents"] == 1


def test_jobs_are_listed_newest_first(house: Any) -> None:
    with house.resting():
        older, newer = (house.upload(f"list {number}", a__txt="One.")["job"] for number in (1, 2))
        listed = [each["id"] for each in house.http.get("/v1/jobs").json()["jobs"]]
        assert listed[:2] == [newer, older]
        assert len(house.http.get("/v1/jobs", params={"limit": 1}).json()["jobs"]) == 1
    house.finish(newer)


def test_a_paused_job_waits_without_holding_up_the_next_one(house: Any) -> None:
    with house.resting():
        waits = house.upload("paused", a__txt="Held words.")["job"]
        assert house.http.post(f"/v1/jobs/{waits}/pause").json()["state"] == "paused"
    house.live("not paused", a__txt="Other words.")
    held = house.http.get(f"/v1/jobs/{waits}").json()
    assert (held["state"], held["waiting"]) == ("paused", 1)
    assert house.http.post(f"/v1/jobs/{waits}/resume").json()["state"] == "running"
    assert house.finish(waits)["progress"]["documents"] == 1


def test_a_cancelled_job_takes_back_what_it_had_to_do(house: Any) -> None:
    with house.resting():
        reply = house.upload("cancelled", a__txt="Never read.")
        assert house.http.post(f"/v1/jobs/{reply['job']}/cancel").json()["state"] == "cancelled"
        assert house.http.get(f"/v1/documents/{reply['documents'][0]['id']}").status_code == 404
    assert followed(house, reply["job"])[-1][0] == "done"
    refused = house.http.post(f"/v1/jobs/{reply['job']}/resume")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


def test_what_was_set_aside_is_tried_again_on_request(house: Any) -> None:
    reply = house.upload("again", noise__bin=bytes(range(256)) * 40)
    assert house.finish(reply["job"])["quarantined"] == 1
    with house.resting():
        again = house.http.post(f"/v1/jobs/{reply['job']}/retry").json()
        assert (again["quarantined"], again["waiting"]) == (0, 1)
    deadline = time.monotonic() + 60
    while not house.http.get(f"/v1/jobs/{reply['job']}").json()["quarantined"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_client_that_leaves_ends_its_stream_of_events(house: Any) -> None:
    with house.resting():
        job = house.upload("left early", a__txt="One.")["job"]
        with httpx.stream("GET", f"{house.url}/v1/jobs/{job}/events") as reply:
            lines = reply.iter_lines()
            assert next(lines) == "event: progress"
            deadline = time.monotonic() + 60
            while house.requests() != 1:  # what came before is just ending
                assert time.monotonic() < deadline
        while house.requests():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    house.finish(job)


def test_a_job_is_put_before_others_and_the_audit_log_is_told(house: Any) -> None:
    with house.resting():
        job = house.upload("urgent", a__txt="Urgent words.")["job"]
        reply = house.http.post(f"/v1/jobs/{job}/priority", json={"priority": 7})
        assert (reply.status_code, reply.json()["priority"]) == (200, 7)
        refused = house.http.post(f"/v1/jobs/{job}/priority", json={"priority": "high"})
        assert refused.status_code == 400
    house.finish(job)
    rows = house.http.get("/v1/audit", params={"limit": 1000}).json()["rows"]
    assert ("jobs.priority", job) in [(row["action"], row["object"]) for row in rows]


@pytest.mark.parametrize(
    ("verb", "path"),
    [("GET", ""), ("GET", "/events"), *(("POST", f"/{each}") for each in ("pause", "cancel"))],
)
def test_a_job_of_another_tenant_looks_like_none(house: Any, verb: str, path: str) -> None:
    other = house.system.jobs.start(Principal("elsewhere"), "default", "", {})
    there, nothing = (house.http.request(verb, f"/v1/jobs/{each}{path}") for each in (other, "job-x"))
    assert there.status_code == nothing.status_code == 404
    assert there.text.replace(other, "job-x") == nothing.text
    assert other not in house.http.get("/v1/jobs").text


def test_a_verb_that_is_none_is_refused(house: Any) -> None:
    assert house.http.post("/v1/jobs/job-x/destroy").status_code == 400
