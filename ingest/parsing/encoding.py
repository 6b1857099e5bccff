"""Bytes to text when nobody says which encoding."""

from __future__ import annotations

import codecs
import re

BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
EAST_ASIAN = ("cp932", "gb18030", "euc_kr", "big5")
SHARE_OF_CONTROLS = 0.02
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")


def decode(data: bytes, *, declared: str = "", partial: bool = False) -> str | None:
    """The text, or None for binary data. `partial`: the last character may be cut in half."""
    for encoding in candidates(data, declared):
        text = attempt(data, encoding, partial)
        if text is not None and not looks_binary(text):
            return text
    return None


def candidates(data: bytes, declared: str) -> list[str]:
    """Encodings to try: the BOM alone, or by zeros of UTF-16 and 32, UTF-8, what is declared, guesses."""
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return [encoding]
    found = []
    even, odd = data[:4000:2].count(0), data[1:4000:2].count(0)
    half = max(1, min(len(data), 4000) // 2)
    if even > 0.4 * half and odd > 0.4 * half:
        found += ["utf-32-le", "utf-32-be"]
    elif odd > 0.3 * half > even:
        found.append("utf-16-le")
    elif even > 0.3 * half > odd:
        found.append("utf-16-be")
    match = DECLARED.search(data[:2048])
    stated = declared or (match.group(1).decode("ascii") if match else "")
    found.append("utf-8")
    if stated:
        found.append(stated)
    if is_multibyte(data):
        found += EAST_ASIAN
    return [*found, "cp1252", "latin-1"]


def attempt(data: bytes, encoding: str, partial: bool) -> str | None:
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        return decoder.decode(data, final=not partial)
    except (UnicodeError, LookupError):
        return None


def is_multibyte(data: bytes) -> bool:
    """Whether high bytes come in pairs, as in East Asian encodings, and not alone between Latin letters."""
    pairs = len(re.findall(rb"[\x81-\xfe][\x40-\xfe]", data[:8000]))
    lone = len(re.findall(rb"[A-Za-z ][\x80-\xff](?=[A-Za-z .,;]|$)", data[:8000]))
    return pairs >= 2 and pairs > 4 * lone


def looks_binary(text: str) -> bool:
    """More control characters than a text has."""
    sample = text[:20000]
    controls = len(CONTROLS.findall(sample))
    return controls > 3 and controls > SHARE_OF_CONTROLS * len(sample)
