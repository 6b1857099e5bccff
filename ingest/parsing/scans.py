"""Pages that are pictures: recognised into blocks with boxes and confidence. Start at Recogniser."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from PIL import Image, ImageSequence

from ingest.parsing import ocr
from ingest.parsing.blocks import Block, ParsedDocument
from ingest.parsing.words import flow
from rag.errors import Damaged, LimitExceeded, NoText
from rag.types import Box

OCR_DPI = 200
MAX_OCR_PIXELS = 40_000_000
MAX_IMAGE_PIXELS = 100_000_000
MAX_IMAGES = 500
SMALL_SIDE = 1_500  # pixels: a smaller picture is a screen shot, whose letters are too small to recognise
UNSURE = 0.3  # words recognised with less confidence are noise
DOUBTFUL_PAGE = 0.6  # a page recognised with less may lie on its side

# Pale letters, such as a coloured letterhead, are lost in the one threshold Tesseract takes, unless they are
# darkened: a gamma of 2 costs nothing and leaves black and white where they are.
DARKER = bytes(round(value * value / 255) for value in range(256))

Turn = Callable[[int], ocr.Picture]


@dataclass
class Recogniser:
    """Reads the pictures of one document. `dropped` counts words that were too unsure to keep.

    `languages` as Tesseract names them, joined by "+", or "auto": by the script of the first page.
    """

    languages: str
    dropped: int = 0

    def read(self, picture: Turn, *, page: int, width: float, height: float, scale: float) -> list[Block]:
        """The paragraphs of a page in reading order.

        `picture(degrees)` is the page, turned clockwise. `width` and `height`: of the page as
        shown, in points; `scale`: pixels per point. Raises LimitExceeded when it takes too long.
        """
        upright = picture(0)
        if self.languages == ocr.AUTO:
            self.languages = ocr.languages_for(ocr.script_of(upright))
        turn, seen = 0, list(ocr.words(upright, self.languages))
        if sureness(seen) < DOUBTFUL_PAGE and (turn := ocr.orientation(upright).turn):
            turned = list(ocr.words(picture(turn), self.languages))
            turn, seen = (turn, turned) if sureness(turned) > sureness(seen) else (0, seen)
        kept = [word for word in seen if word.confidence >= UNSURE]
        self.dropped += len(seen) - len(kept)

        def placed(words: Sequence[ocr.Seen]) -> Box:
            return box_of(words, page=page, turn=turn, width=width, height=height, scale=scale)

        return [
            Block(
                "text",
                flow(" ".join(word.text for word in line) for line in lines_of(words)),
                page=page,
                boxes=(placed(words),),
                confidence=round(sureness(words), 3),
            )
            for words in (list(group) for _, group in groupby(kept, key=lambda word: word.paragraph))
        ]

    @property
    def warnings(self) -> tuple[str, ...]:
        return (f"{self.dropped} words were too unclear to recognise",) if self.dropped else ()


def lines_of(words: Sequence[ocr.Seen]) -> Iterator[list[ocr.Seen]]:
    for _, line in groupby(words, key=lambda word: word.line):
        yield list(line)


def sureness(words: Sequence[ocr.Seen]) -> float:
    """Mean confidence; 0 where there are no words."""
    return sum(word.confidence for word in words) / len(words) if words else 0.0


def box_of(
    words: Sequence[ocr.Seen], *, page: int, turn: int, width: float, height: float, scale: float
) -> Box:
    """Where words stand on the page as shown, recognised in a picture of it turned clockwise by `turn`."""
    left, top = min(word.left for word in words) / scale, min(word.top for word in words) / scale
    right = max(word.left + word.width for word in words) / scale
    bottom = max(word.top + word.height for word in words) / scale
    if turn == 90:
        left, top, right, bottom = top, height - right, bottom, height - left
    elif turn == 180:
        left, top, right, bottom = width - right, height - bottom, width - left, height - top
    elif turn == 270:
        left, top, right, bottom = width - bottom, left, width - top, right
    return Box(page, round(left, 1), round(top, 1), round(right, 1), round(bottom, 1))


def parse_image(data: bytes, languages: str | None) -> ParsedDocument:
    """The text in a picture, of each of its pages. Boxes are in points, at 72 dpi unless it states another.

    Raises NoText when there is none or nobody to recognise it, Damaged, or LimitExceeded.
    """
    if languages is None:
        raise NoText("a picture; recognising text (ingest.ocr) is switched off")
    if trouble := ocr.problem(languages):
        raise NoText(f"pictures hold text for a recogniser only: {trouble}")
    recogniser = Recogniser(languages)
    blocks: list[Block] = []
    number = 0
    for number, frame in enumerate(frames(data), 1):
        blocks += read_frame(frame, recogniser, number)
    if not blocks:
        raise NoText("a picture in which no text was recognised")
    return ParsedDocument(tuple(blocks), pages=number, warnings=recogniser.warnings)


def frames(data: bytes) -> Iterator[Any]:
    """The pictures of an image file, grey; sizes are checked before a pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                width, height = frame.size
                if width * height > MAX_IMAGE_PIXELS:
                    limit = f"the limit is {MAX_IMAGE_PIXELS // 10**6} million"
                    raise LimitExceeded(f"a picture of {width} x {height} pixels, {limit}")
                if number >= MAX_IMAGES:
                    raise LimitExceeded(f"more than {MAX_IMAGES} pictures in one file")
                if number and image.format in ("GIF", "WEBP", "PNG"):
                    return  # an animation: what it says, its first picture says
                yield flattened(frame)
    except Image.DecompressionBombError:
        raise LimitExceeded(f"a picture of more than {MAX_IMAGE_PIXELS // 10**6} million pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Damaged(f"the picture cannot be decoded: {type(error).__name__}") from None


def flattened(frame: Any) -> Any:
    """A picture in grey, on white where it is transparent, and no larger than a recogniser needs."""
    width, height = frame.size
    shrink = (MAX_OCR_PIXELS / (width * height)) ** 0.5
    if frame.mode in ("RGBA", "LA", "PA") or "transparency" in frame.info:
        clear = frame.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        ground.alpha_composite(clear)
        grey = ground.convert("L")
    else:
        grey = frame.convert("L")
    grey.info = {"dpi": frame.info.get("dpi")}
    if shrink < 1:
        return rescaled(grey, shrink)
    return rescaled(grey, 2.0) if max(width, height) < SMALL_SIDE else grey


def rescaled(grey: Any, factor: float) -> Any:
    size = tuple(max(1, round(side * factor)) for side in grey.size)
    found = grey.resize(size, Image.Resampling.LANCZOS)
    dpi = grey.info.get("dpi") or (72, 72)
    found.info = {"dpi": (float(dpi[0] or 72) * factor, float(dpi[1] or 72) * factor)}
    return found


def read_frame(grey: Any, recogniser: Recogniser, number: int) -> list[Block]:
    """The blocks of one picture."""
    dpi = float((grey.info.get("dpi") or (72, 72))[0] or 72)
    scale = dpi / 72 if dpi >= 1 else 1.0

    def picture(degrees: int) -> ocr.Picture:
        turned = grey.rotate(-degrees, expand=True) if degrees else grey
        return picture_of(turned.tobytes(), turned.width, turned.height, turned.width)

    return recogniser.read(
        picture, page=number, width=grey.width / scale, height=grey.height / scale, scale=scale
    )


def picture_of(pixels: bytes, width: int, height: int, stride: int) -> ocr.Picture:
    """Grey pixels, rows `stride` bytes apart, darkened."""
    if stride != width:
        pixels = b"".join(pixels[start : start + width] for start in range(0, height * stride, stride))
    return ocr.Picture(pixels[: width * height].translate(DARKER), width, height)
