"""What is found out about a machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rag.cost.detection import detect, metering, section

CPUINFO = 'processor\t: 0\nmodel name\t: Example CPU "9" @ 2.5GHz\nflags\t\t: fpu {more}\n'


def test_processor_cores_memory_and_gpus_are_found(tmp_path: Path) -> None:
    found = detect(
        cpuinfo=write(tmp_path, "hypervisor"),
        powercap=tmp_path / "none",
        run=lambda command: "Example GPU, 350.00\nExample GPU, 350.00\n",
    )
    assert found.cpu == 'Example CPU "9" @ 2.5GHz'
    assert found.is_virtual and not found.has_rapl
    assert found.gpus == ("Example GPU", "Example GPU")
    assert found.busy_watts == pytest.approx((85 + 10 + 700) / 0.9)
    assert "estimates by a factor of 3" in metering(found)


def test_the_section_can_be_pasted_with_what_was_answered(tmp_path: Path) -> None:
    found = detect(cpuinfo=write(tmp_path, ""), powercap=tmp_path / "none", run=lambda command: "")
    printed = section(found, {"price": 1200.0, "pue": 1.1, "grid": "fr"})
    told = tomllib.loads(printed)["hardware"]
    assert (told["price"], told["pue"], told["grid"]) == (1200, 1.1, "fr")
    assert told["name"] == "Example CPU 9 @ 2.5GHz"
    assert "# idle_watts = 60  # default" in printed


def test_a_machine_that_tells_nothing_is_still_described(tmp_path: Path) -> None:
    def no_driver(command: object) -> str:
        raise FileNotFoundError

    found = detect(cpuinfo=tmp_path / "none", powercap=tmp_path / "none", run=no_driver)
    assert (found.cpu, found.gpus, found.is_virtual) == ("", (), False)
    assert tomllib.loads(section(found, {}))["hardware"]["name"] == "this machine"


def write(folder: Path, more: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(CPUINFO.format(more=more))
    return file
