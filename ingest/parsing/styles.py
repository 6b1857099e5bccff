"""What the styles of a Word document mean: headings, code, hidden text, and the numbers before paragraphs."""

from __future__ import annotations

import re

from lxml import etree

from ingest.parsing.markup import attribute, local
from ingest.parsing.visibility import WHITE, alike, colour

HEADING = re.compile(r"(?:heading|überschrift|titre|kop|título|rubrik)\s*(\d)", re.IGNORECASE)
CODE = re.compile(r"\b(?:source ?code|html preformatted|code|verbatim|macro|preformatted)\b", re.IGNORECASE)
TINY_HALF_POINTS = 2
BULLETS = {"bullet", "none", ""}
ROMAN: tuple[tuple[int, str], ...] = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
MAX_LEVEL = 9


class Styles:
    """styles.xml: what each style says itself, and through the styles it is based on."""

    def __init__(self, root: etree._Element | None) -> None:
        self._levels: dict[str, int] = {}
        self._code: set[str] = set()
        self._vanishing: set[str] = set()
        self._numbering: dict[str, dict[str, str]] = {}
        based: dict[str, str] = {}
        for style in root.iter("{*}style") if root is not None else ():
            identity = attribute(style, "styleId")
            based[identity] = next((attribute(each, "val") for each in style.iterfind("{*}basedOn")), "")
            self._learn(identity, style)
        for identity in based:
            self._inherit(identity, based)

    def _learn(self, identity: str, style: etree._Element) -> None:
        name = next((attribute(each, "val") for each in style.iterfind("{*}name")), "")
        if found := HEADING.match(name):
            self._levels[identity] = int(found.group(1))
        elif name.lower() == "title":
            self._levels[identity] = 1
        if CODE.search(name):
            self._code.add(identity)
        for each in style.iterfind("{*}pPr/{*}outlineLvl"):
            if attribute(each, "val").isdecimal():
                self._levels[identity] = int(attribute(each, "val")) + 1
        for each in style.iterfind("{*}pPr/{*}numPr"):
            self._numbering[identity] = {local(mark): attribute(mark, "val") for mark in each}
        if any(is_on(each) for each in style.iterfind("{*}rPr/{*}vanish")):
            self._vanishing.add(identity)

    def _inherit(self, identity: str, based: dict[str, str]) -> None:
        above = based[identity]
        for _ in range(MAX_LEVEL):
            if not above:
                return
            if identity not in self._levels and above in self._levels:
                self._levels[identity] = self._levels[above]
            if above in self._code:
                self._code.add(identity)
            if above in self._vanishing:
                self._vanishing.add(identity)
            if identity not in self._numbering and above in self._numbering:
                self._numbering[identity] = self._numbering[above]
            above = based.get(above, "")

    def heading_level(self, style: str) -> int:
        """1 to 9, or 0 for a style that is no heading."""
        level = self._levels.get(style, 0)
        return level if level <= MAX_LEVEL else 0

    def is_code(self, style: str) -> bool:
        return style in self._code

    def vanishes(self, style: str) -> bool:
        return style in self._vanishing

    def numbering(self, style: str) -> dict[str, str] | None:
        """numId and ilvl that come with a style."""
        return self._numbering.get(style)


class Numbering:
    """numbering.xml, and how far each list has counted."""

    def __init__(self, root: etree._Element | None) -> None:
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, list[int]] = {}
        self._abstract: dict[str, str] = {}
        if root is None:
            return
        for each in root.iterfind("{*}abstractNum"):
            levels = {}
            for level in each.iterfind("{*}lvl"):
                marks = {local(mark): attribute(mark, "val") for mark in level}
                start = marks.get("start", "1")
                levels[number(attribute(level, "ilvl"))] = (
                    marks.get("numFmt", ""),
                    marks.get("lvlText", ""),
                    number(start),
                )
            self._levels[attribute(each, "abstractNumId")] = levels
        for each in root.iterfind("{*}num"):
            for link in each.iterfind("{*}abstractNumId"):
                self._abstract[attribute(each, "numId")] = attribute(link, "val")

    def next(self, mark: dict[str, str] | None) -> tuple[str | None, int]:
        """What stands before a paragraph (None: it is not in a list) and how deep its list is."""
        if not mark or mark.get("numId", "0") == "0":
            return None, 0
        depth = min(number(mark.get("ilvl", "0")), MAX_LEVEL - 1)
        abstract = self._abstract.get(mark.get("numId", ""), "")
        levels = self._levels.get(abstract, {})
        style, pattern, start = levels.get(depth, ("bullet", "", 1))
        if style in BULLETS:
            return "", depth
        counts = self._counts.setdefault(abstract, [])
        del counts[depth + 1 :]
        while len(counts) < depth:
            counts.append(levels.get(len(counts), ("", "", 1))[2])
        if len(counts) == depth:
            counts.append(start - 1)
        counts[depth] += 1

        def count(match: re.Match[str]) -> str:
            level = int(match.group(1)) - 1
            return written(counts[level], levels[level][0]) if level < len(counts) and level in levels else ""

        return re.sub(r"%([1-9])", count, pattern).strip(), depth


def written(count: int, style: str) -> str:
    """A number as its list writes it."""
    if style in ("lowerLetter", "upperLetter") and count > 0:
        letter = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 % 5 + 1)
        return letter.upper() if style == "upperLetter" else letter
    if style in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        roman = ""
        for value, sign in ROMAN:
            roman += sign * (count // value)
            count %= value
        return roman.upper() if style == "upperRoman" else roman
    return str(count)


def is_concealed(run: etree._Element, styles: Styles, *, on_ground: bool) -> bool:
    """Whether Word does not show a run: marked so, too small to see, or white with nothing behind it."""
    for properties in run.iterfind("{*}rPr"):
        white = shaded = False
        for mark in properties:
            name, value = local(mark), attribute(mark, "val")
            if name == "vanish" and is_on(mark):
                return True
            if name == "rStyle" and styles.vanishes(value):
                return True
            if name == "sz" and value.isdecimal() and int(value) <= TINY_HALF_POINTS:
                return True
            if name == "color" and (found := colour(value)) and alike(found, WHITE):
                white = True
            shaded = shaded or name in ("shd", "highlight", "bdr")
        if white and not shaded and not on_ground and not has_ground(run):
            return True
    return False


def has_ground(run: etree._Element) -> bool:
    """Whether the paragraph of a run, or the page, has a colour of its own."""
    paragraph = run.getparent()
    while paragraph is not None and local(paragraph) != "p":
        paragraph = paragraph.getparent()
    if paragraph is not None and next(paragraph.iterfind("{*}pPr/{*}shd"), None) is not None:
        return True
    return next(run.getroottree().getroot().iterfind("{*}background"), None) is not None


def is_on(mark: etree._Element) -> bool:
    """Whether a toggle is set; without a value it is."""
    return attribute(mark, "val") not in ("0", "false", "off")


def number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0
