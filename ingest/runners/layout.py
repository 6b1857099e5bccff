"""How the work of a run is split over the cores and GPUs of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from rag.errors import SettingsError

# Embedding is four fifths of the work of a text document, measured end to end.
EMBED_CPUS, GROUP_CPUS = 4, 5


@dataclass(frozen=True, slots=True)
class Layout:
    """Readers and embedders, and the cores and GPUs of each embedder. A reader uses one core."""

    readers: int
    embedders: int = 0
    embed_cpus: int = 0
    embed_gpus: int = 0


def layout(cpus: int, gpus: int, *, server: bool, readers: int = 0) -> Layout:
    """The split; `readers` overrides ours. Raises SettingsError for a cluster that is too small.

    Without a Qdrant server there are no embedders: the index is one process beside us, which embeds as well.
    """
    least = 2 if server else 1
    if cpus < least:
        raise SettingsError(f"the Ray cluster has {cpus} cores and needs {least}; add a node")
    if not server:
        return Layout(readers or cpus)
    if gpus:
        embedders = min(gpus, cpus - 1)
        return Layout(readers or cpus - embedders, embedders, embed_cpus=1, embed_gpus=1)
    embedders = max(1, cpus // GROUP_CPUS)
    embed_cpus = min(EMBED_CPUS, cpus - 1)
    return Layout(readers or cpus - embedders * embed_cpus, embedders, embed_cpus)
