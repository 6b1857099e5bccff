"""Personal data in text, found by rules: numbers by check digits, the rest by form and by what precedes.

Structured kinds have a form of their own. Names and addresses have none: of those, rules find a part.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.dk import cpr
from stdnum.es import nie, nif
from stdnum.fi import hetu
from stdnum.it import codicefiscale
from stdnum.se import personnummer
from stdnum.us import ssn

from rag.routing.postal_addresses import postal_addresses


class DataKind(StrEnum):
    """What was found."""

    SECRET_URL = "URL"  # with a password or a key in it
    EMAIL = "EMAIL"
    IBAN = "IBAN"
    IP = "IP"
    MAC = "MAC"
    TAX_ID = "ID"  # of tax, social insurance, passport or driving licence
    CARD = "CARD"
    PHONE = "PHONE"
    BIRTH_DATE = "BIRTH_DATE"
    ADDRESS = "ADDRESS"
    NAME = "NAME"


STRUCTURED = frozenset(DataKind) - {DataKind.ADDRESS, DataKind.NAME}
REGIONS = (
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "NL",
    "BE",
    "CH",
    "AT",
    "SE",
    "DK",
    "NO",
    "FI",
    "PL",
    "PT",
    "AU",
)
BEFORE = 40  # characters in which a word like "phone" tells what a number is


@dataclass(frozen=True, slots=True)
class Finding:
    """text[start:end] is of that kind."""

    kind: DataKind
    start: int
    end: int


Finder = Callable[[str], Iterator[tuple[int, int]]]


def find(text: str, kinds: frozenset[DataKind] = frozenset(DataKind)) -> list[Finding]:
    """What a text holds of these kinds, in order of place; of findings that overlap the surer kind stays."""
    text = text.translate(ALIKE)
    found: list[Finding] = []
    for kind, finder in FINDERS.items():
        if kind in kinds:
            for start, end in finder(text):
                if all(end <= other.start or start >= other.end for other in found):
                    found.append(Finding(kind, start, end))
    return sorted(found, key=lambda one: one.start)


# PDF and word processors write spaces and dashes that do not break; each stands for one, so places stay.
ALIKE = {
    **dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u202f"), " "),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-"),
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
}
SECRET_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:]{1,200}:[^\s/@]{1,200}@[^\s<>\"']+"
    r"|\bhttps?://[^\s<>\"'?]+\?[^\s<>\"']*?\b(?:token|key|api_?key|access_token|password|passwd|pwd|secret"
    r"|sig|signature|auth|session|sid)=[^\s<>\"']+",
    re.IGNORECASE,
)
EMAIL = re.compile(
    r"(?<![\w.+%&'’-])[\w.+%&'’-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
    # Written so that no program finds it: with spaces, or (at) and (dot).
    r"|(?<![\w.+-])[\w.+-]{1,64}(?: @ | ?[\[({] ?(?:at|ät|@) ?[\])}] ?)[\w-]{1,63}"
    r"(?:(?:\.| ?[\[({] ?(?:dot|punkt|\.) ?[\])}] ?)[\w-]{1,63}){0,7}"
    r"(?:\.| ?[\[({] ?(?:dot|punkt|\.) ?[\])}] ?)[a-z]{2,24}\b",
    re.IGNORECASE,
)
IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?:[ .-]?[A-Z0-9]){11,30}(?![^\W_])", re.IGNORECASE)
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:]|\.\w)", re.IGNORECASE)
MAC = re.compile(
    r"(?<![\w:.-])(?:[0-9a-f]{2}(?P<gap>[:-])(?:[0-9a-f]{2}(?P=gap)){4}[0-9a-f]{2}"
    r"|(?=[\d.]*[a-f])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})(?![\w:-]|\.\w)",
    re.IGNORECASE,
)
NUMBERED = re.compile(
    r"(?:\bv|version|release|section|clause|chapter|§|Abschnitt|Kapitel)\s*$", re.IGNORECASE
)
CARD = re.compile(r"(?<![\w.,-])(?:\d(?:[ -]?\d){11,18}|\d{4}(?:\.\d{4}){3})(?![\w-]|[.,]\d)")
CARD_WORD = re.compile(r"\b(?:card|credit|debit|cc|visa|mastercard|amex|maestro|karte\w*)\b", re.IGNORECASE)
ISSUED = re.compile(
    r"4|5[0-8]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|35|6(?:011|4[4-9]|5|2|[37])"
)
YEARS = re.compile(r"(?:(?:19|20)\d\d[ -]?)+")
ID_WORDS = r"[\s-]*(?:identification|id|number|no\.?|nr\.?|nummer|code|is|ist|[:=#.])"
LABELLED_ID = re.compile(
    r"(?:(?:social (?:security|insurance)|\btax(?:payer)?|national insurance|sozialversicherung\w*)"
    rf"(?:{ID_WORDS}){{1,5}}"
    r"|(?:\bssn|\btin|steuer-?id\w*|steuernummer|\bid-?nr|national id\w*|passport|reisepass"
    r"|personalausweis\w*|driver['’]?s? licen[cs]e|driving licen[cs]e|führerschein|personnummer|\bbsn|\bpesel"
    rf"|\bnif|\bdni|codice fiscale|\baadhaar)(?:{ID_WORDS}){{0,5}})\s*"
    r"(?P<id>[CFGHJKLMNPRTVWXYZ](?=[A-Z]*\d)[0-9CFGHJKLMNPRTVWXYZ]{8}(?!\w)"
    r"|[A-Z]{0,3}[ -]?(?=(?:[A-Z ./-]?\d){6})\d[A-Z0-9]*(?:[ ./-][A-Z0-9]*\d[A-Z0-9]*){0,5})(?!\w)",
    re.IGNORECASE,
)
NINO = re.compile(
    r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)", re.IGNORECASE
)
# Only forms that no plain number has: letters, or a dash at its place.
IDS = tuple(
    (re.compile(rf"(?<![\w-])(?:{form})(?![\w-])", re.IGNORECASE), check)
    for form, check in (
        (r"\d{3}-\d{2}-\d{4}", ssn.is_valid),
        (r"756\.\d{4}\.\d{4}\.\d{2}", ahv.is_valid),
        (r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf.is_valid),
        (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale.is_valid),
        (r"\d{8}-?[A-Z]", nif.is_valid),
        (r"[XYZ]-?\d{7}-?[A-Z]", nie.is_valid),
        (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Z]", hetu.is_valid),
        (r"(?:\d\d)?\d{6}[-+]\d{4}", lambda text: bool(personnummer.is_valid(text) or cpr.is_valid(text))),
    )
)
PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\+|00)?\(?\d(?:(?: / |[ .\-/]?[()]?[ ]?)\d){5,16}"
    r"(?: ?(?:x|ext\.?) ?\d{1,6})?(?![\w%]|[.,]\d)"
)
PHONE_WORD = re.compile(
    r"\b(?:phone|mobile|cell|tel|telephone|fax|desk|call(?: me)?|sms|text|dial|whatsapp|handy|telefon\w*"
    r"|mobil\w*|rufnummer|durchwahl|hotline|reach me|answering|messages to|registered(?: number)?)\b\W*"
    r"(?:(?:me|us|at|on|to|is|number|no|nr|under|unter|ist)\b\W*){0,4}$",
    re.IGNORECASE,
)
DIALLED = re.compile(r"\+|00|0\d|\(|\d{3}[-.]\d{3}[-.]\d{4}")
MONTH = r"[^\W\d_]{3,10}\.?"  # of any language: the word before says that it is a date
DATE = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er|º)?\.? (?:of |de )?{MONTH},? (?:de )?\d{{4}}"
    rf"|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
BIRTH_DATE = re.compile(
    r"(?:\bborn|birth\w*|\bdob|\bd\.o\.b\.?|geboren|\bgeb\.|geburtsdatum|née?|nacid[oa]|nat[oa]"
    r"|naissance|nacimiento|nascita|nascimento|geboortedatum|födelsedatum|urodzenia)"
    r"(?: \([DMYTJ./ -]{6,12}\))?"
    rf"\W{{0,3}}(?:(?:on|at|am|is|was|le|el|il|in|date|of|day|the)\W{{1,3}}){{0,4}}(?P<date>{DATE})",
    re.IGNORECASE,
)


def whole(pattern: re.Pattern[str], group: str | int = 0) -> Finder:
    """Every match, or that part of it."""

    def finder(text: str) -> Iterator[tuple[int, int]]:
        return (match.span(group) for match in pattern.finditer(text))

    return finder


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Account numbers whose check digits fit; a run that goes on into the next word is cut back."""
    for match in IBAN.finditer(text):
        for end in range(match.end(), match.start() + 14, -1):
            if text[end - 1].isalnum() and iban.is_valid(text[match.start() : end].upper()):
                yield match.start(), end
                break


def addresses_of_machines(text: str) -> Iterator[tuple[int, int]]:
    """IP addresses that could be somebody's; numbers of versions and sections look alike and are not."""
    for match in [*IPV4.finditer(text), *IPV6.finditer(text)]:
        try:
            address = ipaddress.ip_address(match.group())
        except ValueError:
            continue
        plain = address.version == 4 and all(len(part) == 1 for part in match.group().split("."))
        numbered = NUMBERED.search(text[max(0, match.start() - BEFORE) : match.start()])
        if not (plain or numbered or address.is_loopback or address.is_unspecified):
            yield match.span()


def personal_ids(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of tax, social insurance and papers: after their name, or with a form of their own."""
    yield from whole(LABELLED_ID, "id")(text)
    yield from whole(NINO)(text)
    for pattern, is_valid in IDS:
        yield from (match.span() for match in pattern.finditer(text) if is_valid(match.group()))


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Payment cards by Luhn's check; one number in ten passes it, so the word or an issuer must be there."""
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if not luhn.is_valid(digits) or YEARS.fullmatch(match.group()):
            continue
        named = CARD_WORD.search(text[max(0, match.start() - BEFORE) : match.start()])
        if named or (len(digits) > 12 and ISSUED.match(digits)):
            yield match.span()


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Telephone numbers: after a word that says so, or dialled in full and valid in one of REGIONS."""
    for match in PHONE.finditer(text):
        number, before = match.group(), text[max(0, match.start() - BEFORE) : match.start()]
        digits = sum(char.isdigit() for char in number)
        named = digits >= 6 and PHONE_WORD.search(before) is not None
        if named or (digits >= 8 and DIALLED.match(number) and is_number(number)):
            yield match.span()


def is_number(text: str) -> bool:
    """Whether it is in use in a numbering plan: the one it names, else one of REGIONS."""
    text = re.sub(r"^00", "+", text)
    for region in (None,) if text.startswith("+") else REGIONS:
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return True
    return False


NAME_PART = r"[^\W\d_a-zà-öø-ÿ][^\W\d_]+(?:[-'’](?!s\b)[^\W\d_]+)*"
FULL_NAME = rf"{NAME_PART}(?: (?:van|von|de|der|den|da|di|dos|el|al|{NAME_PART}|[^\W\d_a-zà-öø-ÿ]\.)){{0,3}}"
TITLE = r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Sir|Madam|Mme|Señora?|Sig)\b\.? "
NAME = re.compile(
    rf"(?:\b{TITLE}"
    r"|\b[Mm]y name is |\b[Nn]ame: ?|\b[Nn]ame\?\s|\bI['’]?m |\bI am |\b[Tt]his is |\bUser: |\bDear "
    r"|\b[Mm]ein Name ist |\bIch bin |\b(?:[Ss]incerely|[Rr]egards|[Gg]rüßen),?\s+)"
    rf"(?:{TITLE})?(?P<name>{FULL_NAME})"
)


# The order is the order of certainty: of two findings at one place the first one counts.
FINDERS: dict[DataKind, Finder] = {
    DataKind.SECRET_URL: whole(SECRET_URL),
    DataKind.EMAIL: whole(EMAIL),
    DataKind.IBAN: ibans,
    DataKind.IP: addresses_of_machines,
    DataKind.MAC: whole(MAC),
    DataKind.TAX_ID: personal_ids,
    DataKind.CARD: cards,
    DataKind.BIRTH_DATE: whole(BIRTH_DATE, "date"),
    DataKind.PHONE: phones,
    DataKind.ADDRESS: postal_addresses,
    DataKind.NAME: whole(NAME, "name"),
}
