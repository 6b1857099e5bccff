"""The example of an orchestrator runs: Dagster syncs declared sources, tries again, and fails when it should.

RAG_TEST_DAGSTER names the python of an environment that has Dagster beside us; else this one is taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("RAG_TEST_DAGSTER", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON and not find_spec("dagster"), reason="no Dagster: set RAG_TEST_DAGSTER"),
]

RUN = """
import json
from pathlib import Path
import dagster as dg
from tests.journeys.examples import dagster_sync
from tests.journeys.examples.dagster_sync import assets, definitions, synced

async def seen(declared):
    try:
        return await synced(declared)
    finally:
        Path("late").mkdir(exist_ok=True)  # which a source has missed when this is its first sync

dagster_sync.synced = seen
done = dg.materialize(assets, raise_on_error=False)
told = {
    "good": done.success,
    "retries": sum(each.event_type_value == "STEP_UP_FOR_RETRY" for each in done.all_events),
    "schedules": [each.cron_schedule for each in definitions.schedules],
}
for each in done.get_asset_materialization_events():
    found = each.materialization.metadata
    told[each.asset_key.to_user_string()] = {name: value.value for name, value in found.items()}
for each in done.all_events:
    if each.event_type_value == "STEP_FAILURE":
        failure = each.event_specific_data.user_failure_data
        told["failure"] = {name: value.value for name, value in failure.metadata.items()} if failure else {}
print("told " + json.dumps(told))
"""


@pytest.fixture
def materialised(tmp_path: Path) -> Any:
    """Materialise the assets of an ingest.toml in the folder of the test; what Dagster recorded."""

    def run() -> dict[str, Any]:
        found = subprocess.run(
            [PYTHON or sys.executable, "-c", RUN],
            cwd=tmp_path,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "RAG_HOME": str(tmp_path / "kb"),
                "DAGSTER_HOME": str(tmp_path),
                "DAGSTER_DISABLE_TELEMETRY": "1",
                "RETRY_S": "2",
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
        (line,) = [line for line in found.stdout.splitlines() if line.startswith("told ")] or [found.stderr]
        told: dict[str, Any] = json.loads(line.removeprefix("told "))
        return told

    return run


@pytest.mark.timeout(600)
def test_dagster_syncs_tries_again_and_fails_when_too_much_is_set_aside(
    materialised: Any, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (tmp_path / "hand-book").mkdir()
    for number in range(3):
        (tmp_path / f"hand-book/{number}.md").write_text(f"# Room {number}\n\nIt has {number} chairs.\n")
    (tmp_path / "ingest.toml").write_text(
        '[[source]]\nname = "hand-book"\ntype = "folder"\npaths = ["hand-book"]\nschedule = "0 4 * * *"\n'
        '[[source]]\nname = "a-late"\ntype = "folder"\npaths = ["late"]\n'
    )
    told = materialised()
    assert told["good"] and told["retries"] >= 1, "the folder that was not there was tried again"
    counts = told["hand_book"]
    assert (counts["new"], counts["published"], counts["set_aside"]) == (3, 3, 0)
    assert counts["chunks"] >= 3 and told["schedules"] == ["0 4 * * *"]
    assert materialised()["hand_book"]["unchanged"] == 3
    (tmp_path / "hand-book/bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    told = materialised()
    assert not told["good"] and told["retries"] == 0
    assert (told["failure"]["set_aside"], told["failure"]["unchanged"]) == (1, 3)
