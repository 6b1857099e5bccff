"""Cores within the quota of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag.engine.cores import cores

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("line", "expected"), [("max 100000", ALL), ("50000 100000", 1), ("6400000 100000", ALL)]
)
def test_the_quota_of_a_container_bounds_the_cores(tmp_path: Path, line: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(line)
    assert cores(tmp_path) == expected


def test_the_older_form_of_a_quota_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == 1


def test_without_a_quota_all_allowed_cores_count(tmp_path: Path) -> None:
    assert cores(tmp_path) == ALL
