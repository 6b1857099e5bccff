"""Where the index of a generation lies, and the stamp that says what made it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rag.durable import write_whole
from rag.errors import BadRequest, IndexUnavailable

STAMP = "model.json"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the vectors of an index were made with. `recipe` is the caller's: how documents were cut.

    `sparse` and `late`: name and weights of a learned sparse encoder and of a token encoder; empty: none.
    `prompt`: what stood before every passage.

    `dtype` is of the process that made the index. Vectors of the same model in other number formats may join
    them: their cosines to each other are .99 and more.
    """

    model: str
    sha256: str
    dim: int
    dtype: str = ""
    quantisation: str = "none"
    recipe: str = ""
    sparse: str = ""
    late: str = ""
    prompt: str = ""

    def check(self, ours: Stamp, folder: Path) -> None:
        """Raises IndexUnavailable when `ours` makes vectors that must not meet those of this index."""
        if self.model != ours.model or self.sha256 != ours.sha256:
            made, now = f"model {self.model!r}", f"embedding.model is {ours.model!r}"
            if self.model == ours.model:
                made, now = (
                    f"other weights of {made}",
                    f"its weights are {ours.sha256[:12] or 'not known'} now",
                )
        elif self.dim != ours.dim:
            made, now = f"{self.dim} numbers a vector", f"embedding.dimensions leaves {ours.dim}"
        elif self.prompt != ours.prompt:
            made = f"{self.prompt!r} before every passage"
            now = f"it is {ours.prompt!r} (embedding.document_prompt)"
        elif self.quantisation != ours.quantisation:
            made = f"store.quantisation {self.quantisation!r}"
            now = f"it is {ours.quantisation!r}"
        elif self.sparse != ours.sparse:
            made, now = f"sparse vectors of {self.sparse or 'BM25'}", f"embedding.sparse is {ours.sparse!r}"
        elif self.late != ours.late:
            made = f"token vectors of {self.late}" if self.late else "no token vectors"
            now = f"embedding.late_interaction is {ours.late!r}"
        else:
            return
        raise IndexUnavailable(
            f"the index was made with {made} and {now}; set it back, build a new generation with "
            f"`rag reindex`, or delete {folder} and ingest again"
        )


def folder_of(home: Path, generation: str) -> Path:
    """The folder of a generation. Raises BadRequest for what is not a positive number."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", generation):
        raise BadRequest(f"no generation {generation!r}; generations are numbered from 1")
    return home / "index" / generation


def open_folder(home: Path, generation: str) -> Path:
    """The folder of a generation, made; an index from before generations moves into that of the first.

    For its owner only. A kill between the two moves is mended by the next opening.
    """
    folder = folder_of(home, generation)
    for each in (folder.parent, folder):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    if generation == "1":
        for name in ("edge", STAMP):
            if (folder.parent / name).exists():
                (folder.parent / name).rename(folder / name)
    return folder


def remove_folder(home: Path, generation: str) -> None:
    """Delete what a generation has on disk; nothing happens where it has nothing."""
    folder = folder_of(home, generation)
    if folder.exists():
        shutil.rmtree(folder)


def read_stamp(folder: Path) -> Stamp | None:
    """The stamp of an index, None without one. Names that this release does not know are passed over."""
    try:
        values = json.loads((folder / STAMP).read_text("utf-8"))
        return Stamp(**{each.name: values[each.name] for each in fields(Stamp) if each.name in values})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise IndexUnavailable(
            f"{folder / STAMP} cannot be read: {error}; delete {folder} and ingest again"
        ) from None


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Write the stamp whole or not at all."""
    write_whole(folder / STAMP, json.dumps(asdict(stamp)).encode(), mode=0o666)
