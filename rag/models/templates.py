"""Which chat template a model speaks, from our own table: a template inside a GGUF is never executed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rag.errors import BadRequest, ModelError
from rag.models.header import Header
from rag.models.lockfile import ChatTemplate

TABLE = Path(__file__).with_name("templates.toml")
SHOWN = 160


@dataclass(frozen=True, slots=True)
class Family:
    """One chat template and how a model that speaks it is known."""

    name: str
    about: str
    template: ChatTemplate
    signs: tuple[str, ...]
    tokens: tuple[str, ...] = ()


@cache
def families() -> dict[str, Family]:
    """Every family by its name, the more particular ones first."""
    return {
        name: Family(
            name,
            table.pop("about"),
            signs=tuple(table.pop("signs")),
            tokens=tuple(table.pop("tokens", ())),
            template=ChatTemplate.of(table),
        )
        for name, table in tomllib.loads(TABLE.read_text("utf-8")).items()
    }


def template_for(header: Header, name: str = "") -> ChatTemplate:
    """The template of a model: the named family's, else the one its file shows signs of.

    Raises BadRequest for a name that is not in the table, ModelError when nothing is known to fit.
    """
    family = named(name) if name else _detected(header)
    # A marker that is a control token cannot be spelt by a text; any other could be.
    controls = set(header.control_tokens)
    spelt = tuple(marker for marker in family.template.markers if marker not in controls)
    return replace(family.template, markers=spelt)


def named(name: str) -> Family:
    """The family of that name. Raises BadRequest that lists what there is."""
    if name not in families():
        raise BadRequest(f"no chat template {name!r}; have {', '.join(families())}")
    return families()[name]


def _detected(header: Header) -> Family:
    text = header.chat_template
    for family in families().values():
        if text and all(sign in text for sign in family.signs):
            return family
        if not text and family.tokens and set(family.tokens) <= set(header.control_tokens):
            return family
    controls = ", ".join(header.control_tokens[:12]) or "none"
    found = f"its template begins {text[:SHOWN]!r}" if text else f"it has none; control tokens: {controls}"
    raise ModelError(
        f"the chat template of {header.path.name} is none that Permafrost knows: {found}. "
        f"Say which fits with --template: {', '.join(families())}"
    )
