"""The throw-away child of check.py: decodes one whole batch and exits 0, or dies of what is wrong here."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from rag.engine.cores import cores
from rag.engine.model import Model
from rag.engine.sequence import Share
from rag.errors import ModelError
from rag.silence import silence

BATCH = 512


def main() -> None:
    """Load the model, decode BATCH tokens at once and one alone, and look at the numbers that come out."""
    silence()
    parser = argparse.ArgumentParser(prog="rag.models.trial")
    parser.add_argument("path")
    parser.add_argument("--extra-bufts", action="store_true")
    arguments = parser.parse_args()
    try:
        model = Model(
            arguments.path,
            context=2 * BATCH,
            slots=1,
            micro_batch=BATCH,
            threads=cores(),
            repack=arguments.extra_bufts,
        )
        tokens = model.tokens("The quick brown fox jumps over the lazy dog. ", control=False) * BATCH
        [[whole]] = model.decode([Share(0, 0, tokens[:BATCH], 1)])
        finite = bool(np.isfinite(whole).all())  # looked at now: the next decode overwrites the view
        [[single]] = model.decode([Share(0, BATCH, tokens[:1], 1)])
        if not (finite and np.isfinite(single).all()):
            raise ModelError("the model computes numbers that are not finite")
        model.close()
    except ModelError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
