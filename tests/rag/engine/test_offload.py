"""How many layers fit a GPU, computed from a real tensor table and from chosen ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.engine.offload import RESERVE_BYTES, Device, plan
from rag.models.header import Header, read_header
from rag.models.lockfile import entry, locate

pytestmark = pytest.mark.model
MB = 1 << 20


@pytest.fixture(scope="module")
def header() -> Header:
    """24 layers of 100 MB and 200 MB beside them, 1 MB of KV cache a layer for 1,024 cells."""
    real = read_header(locate(entry("smollm2-135m-instruct")))
    return replace(
        real,
        layers=24,
        layer_bytes=(100 * MB,) * 24,
        other_bytes=200 * MB,
        kv_heads=4,
        head_size=64,
        value_size=64,
    )


def gpu(megabytes: float, name: str = "NVIDIA X") -> Device:
    return Device(name, int(megabytes * MB) + RESERVE_BYTES)


def test_without_a_gpu_nothing_is_offloaded(header: Header) -> None:
    assert plan(header, "auto", [], cells=1024).layers == 0
    assert "no GPU" in plan(header, "auto", [], cells=1024).note
    assert "though all layers were asked for" in plan(header, "all", [], cells=1024).note


def test_a_large_gpu_takes_everything(header: Header) -> None:
    offload = plan(header, "auto", [gpu(10_000)], cells=1024)
    assert (offload.layers, offload.of, offload.note) == (25, 25, "offloaded 25 of 25 layers to NVIDIA X")


def test_a_small_gpu_takes_the_output_and_the_layers_that_fit_with_their_kv(header: Header) -> None:
    twelve = 1.1 * (200 + 12 * 102) + 1  # 2,048 cells: 2 MB of KV a layer
    offload = plan(header, "auto", [gpu(twelve)], cells=2048)
    assert offload.layers == 13
    assert offload.note == "offloaded 13 of 25 layers to NVIDIA X"


def test_a_longer_context_leaves_room_for_fewer_layers(header: Header) -> None:
    assert (
        plan(header, "auto", [gpu(1500)], cells=200_000).layers
        < plan(header, "auto", [gpu(1500)], cells=10).layers
    )


def test_a_layer_lies_on_one_device(header: Header) -> None:
    one = plan(header, "auto", [gpu(250), gpu(150)], cells=0)
    assert one.layers == 2 and one.note.endswith("to NVIDIA X and NVIDIA X")
    assert plan(header, "auto", [gpu(250), gpu(100)], cells=0).layers == 1


def test_a_gpu_without_room_is_named(header: Header) -> None:
    assert "GB free on NVIDIA X hold none" in plan(header, "auto", [gpu(10)], cells=1024).note


def test_what_is_asked_for_is_done_and_doubted(header: Header) -> None:
    assert plan(header, 0, [gpu(9999)], cells=10).note == "offloaded nothing"
    assert plan(header, 7, [gpu(9999)], cells=10).layers == 7
    for all_of_it in ("all", -1, 99):
        offload = plan(header, all_of_it, [gpu(250)], cells=10)  # type: ignore[arg-type]
        assert offload.layers == 25
        assert offload.note.endswith("; only 1 seem to fit its free memory")


def test_the_bundled_model_is_counted_from_its_own_table() -> None:
    real = read_header(locate(entry("smollm2-135m-instruct")))
    assert plan(real, "auto", [gpu(300)], cells=1024).layers == 31
    assert 1 < plan(real, "auto", [gpu(80)], cells=1024).layers < 31
