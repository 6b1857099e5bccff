"""What stands before a text that an embedder reads: many were trained with other words for each side."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from rag.embedding.files import said
from rag.models.lockfile import encoder_of

FAMILIES = Path(__file__).with_name("prompts.toml")
# In the order in which sentence-transformers looks for them.
DOCUMENT_NAMES = ("document", "passage", "corpus")
FOLDERS = 3  # a hub's cache keeps a model in models--owner--name/snapshots/revision


@dataclass(frozen=True, slots=True)
class Prompts:
    """The words before a question and before a passage. `said_by`: the settings, the model's files, or what
    is known of a family; empty where there are no words."""

    query: str = ""
    document: str = ""
    said_by: str = ""

    def before(self, side: str) -> str:
        """What stands before a text of that side, query or document."""
        return self.query if side == "query" else self.document

    @property
    def told(self) -> str:
        """In words, for `rag doctor`; empty where there are none."""
        if not self.said_by:
            return ""
        return f"questions begin with {self.query!r}, passages with {self.document!r} ({self.said_by})"


def prompts_of(
    folder: Path, *, query: str | None = None, document: str | None = None, called: str = ""
) -> Prompts:
    """The words of a model: as set, else as its files say, else as is known of its family, by the name that
    it is `called` or its folder has.

    Raises ModelError when the files cannot be read.
    """
    found = of_files(folder) or of_family([called, *folder.parts[-FOLDERS:]]) or Prompts()
    if query is not None:
        found = replace(found, query=query, said_by="set")
    if document is not None:
        found = replace(found, document=document, said_by="set")
    return found if found.query or found.document else Prompts()


def prompts_for(model: str, home: Path, *, query: str | None = None, document: str | None = None) -> Prompts:
    """The same for what a setting means: a folder, or a model of models.lock, which may be called otherwise
    than its family."""
    folder, pinned = encoder_of(model, home)
    if pinned:
        query = pinned.query_prompt or None if query is None else query
        document = pinned.document_prompt or None if document is None else document
    return prompts_of(folder, query=query, document=document)


def of_files(folder: Path) -> Prompts | None:
    """What the folder itself says; None where that is nothing."""
    about = said(folder / "config_sentence_transformers.json")
    prompts: dict[str, str] = about.get("prompts") or {}
    usual = prompts.get(about.get("default_prompt_name") or "") or ""
    query = prompts.get("query") or usual
    document = next((prompts[name] for name in DOCUMENT_NAMES if prompts.get(name)), usual)
    return Prompts(query, document, "the model's files") if query or document else None


def of_family(names: Iterable[str]) -> Prompts | None:
    """What is known of models of one of these names; None for any other."""
    lower = [name.lower() for name in names]
    for family, known in families().items():
        if any(re.search(known["name"], name) for name in lower):
            said_by = f"known of {family}"
            return Prompts(known.get("query", ""), known.get("document", ""), said_by)
    return None


@lru_cache(maxsize=1)
def families() -> dict[str, dict[str, str]]:
    """The rows of prompts.toml."""
    return tomllib.loads(FAMILIES.read_text("utf-8"))
