"""What may be done with a model, by its architecture: generate, trim its KV, move its KV elsewhere.

Moving KV is allowed only where it is known to be right: one RoPE that turns the whole cache of every layer
the same way. llama.cpp itself would move that of hybrids and of layers without positions, and be wrong.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from rag.models.header import Header

CLASSES: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in tomllib.loads(
        Path(__file__).with_name("architectures.toml").read_text("utf-8")
    ).items()
}
KNOWN = frozenset().union(*CLASSES.values())
OTHER_WORK = {
    "first_encodes": "it reads with an encoder before it writes",
    "sound": "it makes sound",
    "draft": "it only drafts for another model",
    "diffusion": "it writes by diffusion, not word after word",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What may be done with a model; `reason` says why whatever is not allowed is not.

    `can_trim`: the end of a sequence may be dropped and computed anew. `can_shift`: KV may be used at other
    positions, by turning keys as `rope` says ("norm", "neox", or "" where that is not known to be right).
    """

    generates: bool
    can_trim: bool
    can_shift: bool
    reason: str = ""
    known: bool = True
    rope: str = ""
    experts: int = 0
    experts_used: int = 0


def abilities(header: Header, *, swa_full: bool = True) -> Abilities:
    """What this model may be used for; `swa_full`: the cache keeps all of a sliding window's past."""
    cannot = why_not_generate(header)
    fixed = _why_not_trim(header, swa_full)
    stuck = fixed or _why_not_shift(header)
    rope = _rope(header.architecture)
    return Abilities(
        generates=not cannot,
        can_trim=not cannot and not fixed,
        can_shift=not cannot and not stuck,
        reason=cannot or stuck,
        known=header.architecture in KNOWN,
        rope=rope if not stuck else "",
        experts=header.experts,
        experts_used=header.experts_used,
    )


def why_not_generate(header: Header) -> str:
    """Why the model cannot answer; "" when it can, as far as its header tells."""
    name = header.architecture
    if header.kind not in ("model", ""):
        return f"the file holds a {header.kind}, not a model"
    if _is(name, "encoder") or not header.causal:
        return f"architecture {name!r} is an encoder: it turns text into vectors and writes none"
    for kind, why in OTHER_WORK.items():
        if _is(name, kind):
            return f"architecture {name!r} cannot continue a prompt: {why}"
    if not header.vocabulary or not header.layers:
        return f"the file holds no {'layers' if header.vocabulary else 'vocabulary'}"
    if not header.quantisation:
        return "the file holds a vocabulary and no weights"
    return ""


def _why_not_trim(header: Header, swa_full: bool) -> str:
    name = header.architecture
    if _is(name, "recurrent"):
        return f"architecture {name!r} is recurrent: its state cannot be taken back or moved"
    if _is(name, "hybrid") or header.recurrent_keys:
        return f"architecture {name!r} is partly recurrent: its state cannot be taken back or moved"
    if _is(name, "sliding") and header.sliding_window and not swa_full:
        return f"a sliding window of {header.sliding_window} tokens forgets what lies before it"
    return ""


def _why_not_shift(header: Header) -> str:
    name, rope = header.architecture, header.rope
    if _is(name, "no_rope") or header.learned_positions or header.alibi:
        return f"architecture {name!r} has no RoPE (learned positions or ALiBi)"
    if _is(name, "several_axes") or rope.sections:
        return f"architecture {name!r} has positions of several axes (M-RoPE)"
    if _is(name, "mixed_rope") or rope.freq_base_swa is not None:
        return f"architecture {name!r} does not turn all layers alike"
    if header.latent_attention:
        return f"architecture {name!r} keeps compressed keys (latent attention)"
    if rope.scaling in ("yarn", "longrope") or rope.long_factors:
        return f"RoPE is scaled by {rope.scaling or 'longrope'}, which changes keys by more than a turn"
    if not _rope(name):
        return f"it is not known how architecture {name!r} turns its keys"
    return ""


def _rope(name: str) -> str:
    return next((kind for kind in ("norm", "neox") if _is(name, kind)), "")


def _is(name: str, kind: str) -> bool:
    return name in CLASSES[kind]
