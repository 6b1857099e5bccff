"""Reading energy: a powercap tree as Linux has it, programs as they print, meters over real HTTP."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rag.cost.energy import MODEL, VIRTUAL, Counter, best, model_band
from rag.cost.energy_sources import Gpu, HttpMeter, Ipmi, Rapl, sources
from rag.errors import SettingsError
from rag.settings import HardwareSettings

ANSWERS = {
    "/api/v1/query?query=node_watts": {"data": {"result": [{"metric": {}, "value": [1.0, "182.5"]}]}},
    "/meter/0": {"power": 96.25, "total": 1},
    "/plain": 77,
    "/odd": {"power": "off"},
}


class Meter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in ANSWERS
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(ANSWERS.get(self.path)).encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Meter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def zone(folder: Path, name: str, uj: int, range_uj: int = 262_143_328_850) -> None:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    zone(tmp_path / "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path / "intel-rapl:1", "package-1", 7_000_000)
    zone(tmp_path / "intel-rapl:2", "psys", 90_000_000)
    zone(tmp_path / "intel-rapl:0:0", "core", 3_000_000)
    zone(tmp_path / "intel-rapl:0:1", "dram", 1_000_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_only_packages_are_read_never_what_is_nested_in_them_or_around_them(powercap: Path) -> None:
    reading = Rapl(powercap).read()
    assert reading
    assert reading.counters == {
        "intel-rapl:0": Counter(5.0, 262_143.32885),
        "intel-rapl:1": Counter(7.0, 262_143.32885),
    }
    assert reading.watts == 10 and reading.efficiency == 0.9  # two memory modules, behind a power supply


def test_without_powercap_or_its_counters_there_is_no_rapl(tmp_path: Path, powercap: Path) -> None:
    assert Rapl(tmp_path / "nowhere").read() is None
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert Rapl(powercap).read() is None


def test_gpu_power_is_added_and_widens_the_band(powercap: Path) -> None:
    both = Rapl(powercap, gpu=Gpu(lambda command: "61.20\n58.80\n"))
    reading = both.read()
    assert reading and reading.watts == pytest.approx(130.0)
    assert (both.name, both.band.tier) == ("rapl+gpu", 3)


def test_a_gpu_that_does_not_answer_leaves_no_figure_rather_than_a_wrong_one(powercap: Path) -> None:
    def fails(command: Sequence[str]) -> str:
        raise subprocess.CalledProcessError(9, command)

    assert Rapl(powercap, gpu=Gpu(fails)).read() is None


def test_the_management_controller_tells_the_whole_machine() -> None:
    printed = "\n    Instantaneous power reading:                   214 Watts\n    Minimum:   90 Watts\n"
    reading = Ipmi(lambda command: printed).read()
    assert reading and reading.watts == 214
    assert Ipmi(lambda command: "no such command").read() is None


@pytest.mark.parametrize(
    ("place", "path", "watts"),
    [("/api/v1/query?query=node_watts", "", 182.5), ("/meter/0", "power", 96.25), ("/plain", "", 77)],
)
def test_a_meter_answers_over_http(address: str, place: str, path: str, watts: float) -> None:
    reading = HttpMeter(address + place, path).read()
    assert reading and reading.watts == watts


@pytest.mark.parametrize("place", ["/odd", "/nothing"])
def test_a_meter_that_tells_no_watts_is_no_reading(address: str, place: str) -> None:
    assert HttpMeter(address + place, "power").read() is None


def test_a_meter_that_cannot_be_reached_is_no_reading() -> None:
    assert HttpMeter("http://127.0.0.1:9/").read() is None


def test_the_best_source_that_answers_is_taken(address: str, powercap: Path) -> None:
    rapl = Rapl(powercap)
    plug = HttpMeter(address + "/meter/0", "power")
    assert best([rapl, plug]) is plug
    assert best([rapl, HttpMeter(address + "/nothing")]) is rapl
    assert best([HttpMeter(address + "/nothing")]) is None


def test_settings_choose_the_source(address: str, powercap: Path) -> None:
    plug = HardwareSettings(meter_url=address + "/meter/0", meter_path="power")
    assert [each.name for each in sources(plug, powercap=powercap)][0] == "http"
    assert sources(HardwareSettings(meter="model"), powercap=powercap) == []
    with pytest.raises(SettingsError, match="meter_url"):
        sources(HardwareSettings(meter="http"))


def test_on_a_virtual_machine_the_power_model_says_how_little_it_knows(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu vme hypervisor lahf_lm\n")
    assert model_band(cpuinfo) is VIRTUAL
    cpuinfo.write_text("flags\t\t: fpu vme lahf_lm\n")
    assert model_band(cpuinfo) is MODEL
    assert model_band(tmp_path / "none") is MODEL
