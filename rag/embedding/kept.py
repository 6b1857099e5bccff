"""Vectors of sentences that were embedded before, kept apart for each readership until a document goes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from rag.embedding.embedder import Vectors

MOST_READERS, MOST_TEXTS = 8, 4096  # at most 50 MB at 384 numbers

Shelf = OrderedDict[bytes, Vectors]


class KeptVectors:
    """The vectors of texts, computed by `embed` unless they are kept. Belongs to one thread.

    A shelf for each reader, each bounded by itself: how long a question takes tells nobody what others asked,
    nor can one push out what others have. Texts are kept as digests only.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Vectors],
        *,
        most_readers: int = MOST_READERS,
        most_texts: int = MOST_TEXTS,
    ) -> None:
        self._embed, self._most_readers, self._most_texts = embed, most_readers, most_texts
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._epoch = ""

    def of(self, texts: Sequence[str], *, reader: str, epoch: str) -> Vectors:
        """The vectors, shape (len(texts), dim). Another `epoch` means that a document was removed: nothing of
        before is used any more."""
        if epoch != self._epoch:
            self._shelves.clear()
            self._epoch = epoch
        shelf = self._shelf(reader)
        keys = [
            hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts
        ]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in shelf}
        if new:
            # Copies, or one row would keep its whole batch.
            made = (row.copy() for row in self._embed(list(new.values())))
            shelf.update(zip(new, made, strict=True))
        vectors = np.stack([shelf[key] for key in keys])
        for key in keys:
            shelf.move_to_end(key)
        while len(shelf) > self._most_texts:
            shelf.popitem(last=False)
        return vectors

    def _shelf(self, reader: str) -> Shelf:
        shelf = self._shelves.setdefault(reader, OrderedDict())
        self._shelves.move_to_end(reader)
        if len(self._shelves) > self._most_readers:
            self._shelves.popitem(last=False)
        return shelf
