"""Postal addresses by the words that streets, boxes and postcodes have; those without one are not found."""

from __future__ import annotations

import re
from collections.abc import Iterator

CAPITAL = r"[^\W\d_a-zà-öø-ÿ][\w'’.-]*"
STREET_END = (
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Crescent|Close|Place|Pl|Square|Sq|Terrace"
    r"|Boulevard|Blvd|Parkway|Pkwy|Highway|Hwy|Way|Row|Walk|Gardens|Grove|Hill)\b\.?"
)
STREET_START = r"(?:Rue|Via|Viale|Calle|C/|Rua|Av|Avenida|Avenue|Paseo|Plaza|Piazza|ul\.|Chaussée|Boulevard)"
STREET_WORD = (
    r"[^\W\d_]{2,30}(?:straße|strasse|str\.|gasse|weg|platz|allee|gatan|gata|vägen|vej|vejen|gade|katu|tie"
    r"|kuja|laan|straat|plein|veien|gaten)"
)
UNIT = r"(?:,?\s+(?:Apt|Suite|Ste|Unit|Flat|Floor)\.? ?\d+\w?)*"
PLACE = (
    rf"(?:,?\s{{1,3}}(?:[A-Z]{{1,3}}-)?\d{{4,5}}(?:-\d{{3,4}})?(?:,? {CAPITAL}){{0,2}}"
    rf"|,?\s{{1,3}}{CAPITAL}(?: {CAPITAL}){{0,3}},? (?:[A-Z]{{2}} )?\d{{4,5}}\b)?"
)
ADDRESS = re.compile(
    rf"(?<!\w)(?:"
    rf"(?:\d{{1,6}}\w? )?\d{{1,6}}\w? (?:{CAPITAL} ){{1,4}}{STREET_END}{UNIT}{PLACE}"
    rf"|(?:\d{{1,6}} )?(?:\d{{1,6}} )?{STREET_START} ?(?:[\w'’.-]+ ){{1,5}}\d{{1,5}}\b{UNIT}{PLACE}"
    rf"|(?:\d{{1,6}} )?{STREET_WORD} \d{{1,5}}\w?\b{UNIT}{PLACE}"
    rf"|(?:P\.? ?O\.? Box|Postfach) \d+{UNIT}{PLACE}"
    r"|(?:PSC|Unit|CMR) \d{3,5},? Box \d{2,5}\s+[AFD]PO [A-Z]{2} \d{5}"
    r")"
)
POSTCODE = re.compile(
    r"\b(?:ZIP|postcode|postal code|PLZ|Postleitzahl)\W{1,3}(?P<code>\d[\d -]{2,8}\d)\b", re.IGNORECASE
)


def postal_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where each begins and ends."""
    yield from (match.span() for match in ADDRESS.finditer(text))
    yield from (match.span("code") for match in POSTCODE.finditer(text))
