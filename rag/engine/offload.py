"""How many layers of a model go to the GPU: as many as its free memory holds, by the tensor table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag.models.header import Header

RESERVE_BYTES = 300 << 20  # of each device, for its runtime and for llama.cpp's compute buffers
MARGIN = 1.1
ALL = -1


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that llama.cpp can use, with its free memory now."""

    name: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Offload:
    """What goes to the GPU. `layers` is llama.cpp's n_gpu_layers: the output comes first, then the model's
    layers from the last one on; so `of` is one more than the model has layers."""

    layers: int
    of: int
    note: str


def plan(
    header: Header, requested: int | Literal["auto", "all"], devices: Sequence[Device], *, cells: int
) -> Offload:
    """The layers to offload for a KV cache of `cells` tokens in F16; what is requested is not doubted."""
    of = header.layers + 1
    if not devices:
        wish = "" if requested in (0, "auto") else f" though {requested} layers were asked for"
        return Offload(0, of, f"offloaded nothing{wish}: no GPU, or llama.cpp was built without one")
    fitting = _fitting(header, devices, cells)
    wanted = fitting if requested == "auto" else of if requested in ("all", ALL) else min(int(requested), of)
    names = " and ".join(device.name for device in devices)
    if not wanted:
        free = sum(device.free_bytes for device in devices) / 1e9
        why = f" ({free:.1f} GB free on {names} hold none)" if requested == "auto" else ""
        return Offload(0, of, f"offloaded nothing{why}")
    doubt = f"; only {fitting} seem to fit its free memory" if wanted > fitting else ""
    return Offload(wanted, of, f"offloaded {wanted} of {of} layers to {names}{doubt}")


def _fitting(header: Header, devices: Sequence[Device], cells: int) -> int:
    """Filled device by device, since a layer is on one of them."""
    room = [device.free_bytes - RESERVE_BYTES for device in devices]
    # The output matrix may be the tied embeddings, which are then loaded a second time: so count all of it.
    needs = [header.other_bytes, *(weights + _kv(header, cells) for weights in reversed(header.layer_bytes))]
    at = fitting = 0
    for need in needs:
        while at < len(room) and room[at] < need * MARGIN:
            at += 1
        if at == len(room):
            break
        room[at] -= int(need * MARGIN)
        fitting += 1
    return fitting


def _kv(header: Header, cells: int) -> int:
    return header.kv_bytes_per_token * cells // max(1, header.layers)
