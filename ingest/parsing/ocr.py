"""Tesseract on one page image at a time, as a program or a library: words with boxes and confidence."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from rag.errors import LimitExceeded

PAGE_TIMEOUT_S = 120.0
AUTO = "auto"
ORIENTATION = "osd"  # the pack that knows scripts and which way is up
# The library shares our memory limit, and takes the whole document with it where the program loses a page.
MOST_PIXELS_IN_PROCESS = 12_000_000
MOST_LANGUAGES = 3  # each further one makes a page slower
# Which packs read a script, as Tesseract names scripts and packs; the more widely used first.
SCRIPTS = {
    "Latin": "eng deu fra spa ita por nld pol ces dan swe nor fin tur ron hun hrv slk slv cat vie ind",
    "Cyrillic": "rus ukr bul srp bel",
    "Greek": "ell",
    "Arabic": "ara fas urd",
    "Hebrew": "heb",
    "Han": "chi_sim chi_tra",
    "HanS": "chi_sim",
    "HanT": "chi_tra",
    "Japanese": "jpn",
    "Korean": "kor",
    "Hangul": "kor",
    "Devanagari": "hin mar nep",
    "Thai": "tha",
}


class Picture(NamedTuple):
    """Grey pixels, row by row."""

    pixels: bytes
    width: int
    height: int

    @property
    def pgm(self) -> bytes:
        """The picture as a file."""
        return b"P5 %d %d 255\n" % (self.width, self.height) + self.pixels


class Seen(NamedTuple):
    """A recognised word: its box in pixels from the top left, how sure it is in [0, 1], and its paragraph."""

    text: str
    left: int
    top: int
    width: int
    height: int
    confidence: float
    paragraph: tuple[int, int]
    line: int


class Orientation(NamedTuple):
    """What the page is turned by: degrees clockwise that set it upright; and its script, "" if unknown."""

    turn: int
    script: str


@lru_cache(maxsize=1)
def packs() -> tuple[str, frozenset[str]]:
    """The folder of the language packs that Tesseract has, and their names; none if it is not installed."""
    if shutil.which("tesseract") is None:
        return "", frozenset()
    done = subprocess.run(
        ["tesseract", "--list-langs"], capture_output=True, text=True, timeout=PAGE_TIMEOUT_S
    )
    folder, *names = done.stdout.split("\n")
    return folder.partition('"')[2].rpartition('"')[0], frozenset(names) - {""}


def installed() -> frozenset[str]:
    """The language packs that Tesseract has."""
    return packs()[1]


def problem(languages: str) -> str:
    """Why text in these languages ("deu", "deu+eng", "auto") cannot be recognised; "" when it can be."""
    if not installed():
        return "install Tesseract (apt-get install tesseract-ocr) to read them"
    wanted = [] if languages == AUTO else languages.split("+")
    missing = [language for language in wanted if language not in installed()]
    if missing:
        packages = " ".join(f"tesseract-ocr-{language.replace('_', '-').lower()}" for language in missing)
        return f"Tesseract has no language {', '.join(missing)}: apt-get install {packages}"
    return ""


def languages_for(script: str) -> str:
    """The installed packs for a script, joined as Tesseract wants them."""
    known = SCRIPTS.get(script, SCRIPTS["Latin"]).split()
    found = [language for language in known if language in installed()]
    others = sorted(installed() - {ORIENTATION, "equ"})
    return "+".join((found or others)[:MOST_LANGUAGES])


def orientation(picture: Picture) -> Orientation:
    """Which way a page lies and what it is written in. Where nobody can tell: upright, unknown."""
    if ORIENTATION not in installed():
        return Orientation(0, "")
    said = run(picture.pgm, ["--psm", "0", "-l", ORIENTATION])
    turn = re.search(r"^Rotate: (\d+)", said, re.MULTILINE)
    script = re.search(r"^Script: (\w+)", said, re.MULTILINE)
    return Orientation(int(turn[1]) % 360 if turn else 0, script[1] if script else "")


def script_of(picture: Picture) -> str:
    """The script of a page, looked at only where packs of several are installed."""
    scripts = {script for script, languages in SCRIPTS.items() if installed() & set(languages.split())}
    return scripts.pop() if len(scripts) == 1 else orientation(picture).script


def words(picture: Picture, languages: str) -> Iterator[Seen]:
    """The words of a picture, in Tesseract's reading order. Raises LimitExceeded when it takes too long."""
    for row in table(picture, languages).split("\n"):
        fields = row.split("\t")
        if len(fields) != 12 or fields[0] != "5" or not fields[11].strip():
            continue
        _, _, block, paragraph, line, _, left, top, width, height = (int(field) for field in fields[:10])
        confidence = max(0.0, float(fields[10])) / 100
        yield Seen(fields[11], left, top, width, height, confidence, (block, paragraph), line)


def table(picture: Picture, languages: str) -> str:
    """What Tesseract sees, as tab-separated values."""
    is_small = picture.width * picture.height <= MOST_PIXELS_IN_PROCESS
    library = in_process(languages) if is_small else None
    if library is None:
        return run(picture.pgm, ["-l", languages, "tsv"])
    library.SetImageBytes(picture.pixels, picture.width, picture.height, 1, picture.width)
    try:
        if not library.Recognize(int(PAGE_TIMEOUT_S * 1000)):
            raise LimitExceeded(f"a page was not recognised within {PAGE_TIMEOUT_S:g} s")
        return str(library.GetTSVText(0))
    finally:
        library.Clear()


@lru_cache(maxsize=1)
def in_process(languages: str) -> Any:
    """Tesseract as a library, which reads the same in less time; None where tesserocr is not installed."""
    try:
        tesserocr = importlib.import_module("tesserocr")
        silent = {"debug_file": os.devnull}
        return tesserocr.PyTessBaseAPI(path=packs()[0], lang=languages, variables=silent)
    except (ImportError, RuntimeError):
        return None


def run(image: bytes, options: list[str]) -> str:
    """What Tesseract prints about an image; nothing for one that it cannot make sense of."""
    try:
        done = subprocess.run(
            ["tesseract", "stdin", "stdout", *options],
            input=image,
            capture_output=True,
            timeout=PAGE_TIMEOUT_S,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    except subprocess.TimeoutExpired:
        raise LimitExceeded(f"recognising a page took more than {PAGE_TIMEOUT_S:g} s") from None
    return done.stdout.decode("utf-8", "replace")
