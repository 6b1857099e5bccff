"""Where the words of a chunk stand: pages and boxes, of whole blocks and of parts of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ingest.parsing.blocks import Block
from rag.types import Box

LEAST_SHARE = 0.02  # of the block: less of a box than that is an error of the estimate


def places(block: Block, start: float, end: float, length: int) -> tuple[tuple[int, ...], tuple[Box, ...]]:
    """Pages and boxes of the part of a block between two fractions of its text, both in reading order.

    `length`: characters of the part, in which the boxes `start`. A block on one page shares its boxes with
    all its parts. On several pages its text is taken to be spread over the boxes by their height.
    """
    boxes = block.boxes
    if len({box.page for box in boxes}) > 1:
        heights = [max(0.0, box.bottom - box.top) for box in boxes]
        total = sum(heights) or 1.0
        kept: list[tuple[float, Box]] = []
        above = 0.0
        for box, height in zip(boxes, heights, strict=True):
            low, above = above, above + height / total
            begin = round(length * max(0.0, low - start) / (end - start)) if end > start else 0
            kept.append((min(end, above) - max(start, low), replace(box, start=begin)))
        most = max(share for share, _ in kept)
        boxes = tuple(box for share, box in kept if share >= min(LEAST_SHARE, most))
    pages = {box.page for box in boxes} or ({block.page} if block.page else set())
    return tuple(sorted(pages)), boxes


def union(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """The boxes in their order, neighbours of the same column of a page as one."""
    found: list[Box] = []
    for box in boxes:
        if found and found[-1].start == box.start and same_column(found[-1], box):
            last = found[-1]
            found[-1] = Box(
                box.page,
                min(last.left, box.left),
                min(last.top, box.top),
                max(last.right, box.right),
                max(last.bottom, box.bottom),
                last.start,
            )
        elif box not in found:
            found.append(box)
    return tuple(found)


def same_column(above: Box, below: Box) -> bool:
    """Whether a box goes on below another: on the same page, and beside each other no further than half."""
    shared = min(above.right, below.right) - max(above.left, below.left)
    narrower = min(above.right - above.left, below.right - below.left)
    return above.page == below.page and below.bottom >= above.top and 2 * shared >= narrower
