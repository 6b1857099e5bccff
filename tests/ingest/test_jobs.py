"""What a run adds up of its events."""

from __future__ import annotations

from ingest.jobs import Embedded, Settled, Tally


def test_waiting_for_the_disk_is_told_as_what_holds_the_run_up() -> None:
    tally = Tally(workers=2)
    tally(Embedded("a.txt", 1, 20, embed_s=0.2, write_s=0.1))
    assert tally.bottleneck == "embed"
    tally(Settled("a.txt", flush_s=0.3))
    assert tally.bottleneck == "flush"
    assert tally.cpu_of_all(cores=2) == 0.2 * 2 + 0.1  # a wait costs no CPU


def test_a_run_goes_on_from_progress_that_knew_fewer_stages() -> None:
    earlier = Tally().progress(0, 0)
    del earlier["stages"]["flush"]
    tally = Tally()
    tally.go_on(earlier)
    tally(Settled("a.txt", flush_s=0.3))
    assert tally.stages["flush"] == 0.3
