"""Text that leaves no ink: painted in the colour of its ground, transparent, tiny, or off the page.

Text that could be invisible is looked for in the rendered page, so that it does not matter how it was hidden.
The text layer of a scan is invisible too, but the picture above it shows the same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ingest.parsing.pages import Drawing, Page, Raster
from ingest.parsing.words import Face, Word

LIGHT = 200  # of 255: a colour with no channel below may be that of the paper
FAINT = 40  # of 255: opacity below which text hardly shows
ALIKE = 20  # of 255: channels that differ by no more are one colour to the eye
GROUND = 0.6  # share of a word's box that is in the word's own colour: more is the ground it stands on
INK = 0.03  # share of a scanned word's box that is not paper
SCAN = 0.5  # share of the page that the picture of a scan covers
LEAST_SIZE = 1.0  # points
RASTER_PIXELS = 2_000_000


def visible(rows: Sequence[Sequence[Word]], page: Page, drawing: Drawing) -> tuple[list[Sequence[Word]], int]:
    """The rows with what a reader can see, and the number of characters left out."""
    filled = {colour for _, colour in drawing.fills}
    doubts = {face: doubtful(face, filled) for face in {word.face for row in rows for word in row}}
    raster = None
    if any(doubts.values()):
        raster = page.render(dpi=72, max_pixels=RASTER_PIXELS, grey=False)
    elif all(face.size >= LEAST_SIZE for face in doubts) and all_inside(rows, page):
        return list(rows), 0
    is_scan = covered(page, drawing) > SCAN
    hidden = 0
    kept: list[Sequence[Word]] = []
    for row in rows:
        left = []
        for word in row:
            if (
                off_page(word, page)
                or is_tiny(word)
                or raster
                and doubts[word.face]
                and not shows(word, raster, is_scan)
            ):
                hidden += len(word.text)
            else:
                left.append(word)
        if left:
            kept.append(left)
    return kept, hidden


def doubtful(face: Face, filled: set[tuple[int, int, int]]) -> bool:
    """Whether text with this face may be invisible; most is plainly dark on paper."""
    return (
        not face.painted
        or face.opacity < FAINT
        or min(face.colour) >= LIGHT
        or any(alike(face.colour, colour) for colour in filled)
    )


def all_inside(rows: Sequence[Sequence[Word]], page: Page) -> bool:
    """Whether both ends of every row are on the page, and so what stands between them."""
    width, height = page.width, page.height
    return all(
        word.left >= 0 <= word.top and word.right <= width and word.bottom <= height
        for row in rows
        for word in (row[0], row[-1])
    )


def off_page(word: Word, page: Page) -> bool:
    x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
    return not (0 <= x <= page.width and 0 <= y <= page.height)


def is_tiny(word: Word) -> bool:
    return (
        word.face.size < LEAST_SIZE and min(word.right - word.left, word.bottom - word.top) < 1.5 * LEAST_SIZE
    )


def covered(page: Page, drawing: Drawing) -> float:
    """The share of the page under its largest picture."""
    largest: float = max((edges.width * edges.height for edges in drawing.pictures), default=0.0)
    return largest / max(page.area, 1.0)


def shows(word: Word, raster: Raster, is_scan: bool) -> bool:
    """Whether the rendered page shows this word."""
    colours = pixels(word, raster)
    total = colours.total()
    if total == 0:
        return True
    if not word.face.painted or word.face.opacity < FAINT:
        return is_scan and colours.most_common(1)[0][1] < (1 - INK) * total
    own = word.face.colour
    same = sum(count for colour, count in colours.items() if alike(own, unpacked(colour)))
    return same < GROUND * total


def pixels(word: Word, raster: Raster) -> Counter[int]:
    """How often each colour, a pixel as one integer, occurs in the box of a word."""
    view = memoryview(raster.pixels).cast("I")
    step = raster.stride // 4
    left, right = int(word.left * raster.scale), int(word.right * raster.scale) + 1
    top, bottom = int(word.top * raster.scale), int(word.bottom * raster.scale) + 1
    left, right = max(left, 0), min(right, raster.width)
    found: Counter[int] = Counter()
    for y in range(max(top, 0), min(bottom, raster.height)):
        found.update(view[y * step + left : y * step + max(left, right)])
    return found


def unpacked(pixel: int) -> tuple[int, int, int]:
    """Red, green and blue of a BGRx pixel read as a little-endian integer."""
    return pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255


def alike(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= ALIKE for a, b in zip(one, other, strict=True))
