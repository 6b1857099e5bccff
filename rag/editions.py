"""What the name of a document says about its versions: "Policy v2 final" and "Policy (3)" are one thing."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple


class Order(NamedTuple):
    """How far on a version is; compare those of one family. Empty or 0: the name does not say.

    `version`: its number, letters counted (rev. B is 2). `date`: year, month, day, as far as named. `stage`:
    -2 draft, -1 review, 1 final, with the number behind the word. `copy`: the n of "(n)" or of "copy n".
    """

    version: tuple[int, ...] = ()
    date: tuple[int, ...] = ()
    stage: tuple[int, int] = (0, 0)
    copy: int = 0


SUFFIX = re.compile(
    r"\.(?:pdf|docx?|docm|dotx?|rtf|od[tpsg]|pages|txt|md|rst|org|html?|mht(?:ml)?|xls[xmb]?|csv|tsv|numbers"
    r"|pp[ts]x?|pptm|key|eml|msg|mbox|json|xml|epub|fb2|vtt|png|jpe?g|tiff?|zip|tar|t?gz)$"
)
YEAR = r"(?:19[5-9]\d|20[0-4]\d)"
MONTH, DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
BETWEEN = r"[-_. /]"
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar janvier enero jan",
            "february februar février febrero feb",
            "march märz mars marzo mar mrz",
            "april avril abril apr",
            "may mai mayo",
            "june juni juin junio jun",
            "july juli juillet julio jul",
            "august août agosto aug",
            "september septembre septiembre sep sept",
            "october oktober octobre octubre oct okt",
            "november novembre noviembre nov",
            "december dezember décembre diciembre dec dez",
        ),
        1,
    )
    for name in names.split()
}
NAMED_MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + ")"
DATES = (
    re.compile(rf"(?<!\d)(?P<y>{YEAR}){BETWEEN}?(?P<m>{MONTH}){BETWEEN}?(?P<d>{DAY})(?!\d)"),
    re.compile(
        rf"(?<!\d)(?P<d>0?[1-9]|[12]\d|3[01]){BETWEEN}(?P<m>0?[1-9]|1[0-2]){BETWEEN}(?P<y>{YEAR})(?!\d)"
    ),
    re.compile(rf"(?<!\d)(?P<m>0?[1-9]|1[0-2]){BETWEEN}(?P<d>[12]\d|3[01]){BETWEEN}(?P<y>{YEAR})(?!\d)"),
    re.compile(
        rf"(?<![^\W_])(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\.?[ _-]+)?(?P<n>{NAMED_MONTH})\.?[ _-]*"
        rf"(?:(?P<e>\d{{1,2}})(?:st|nd|rd|th)?,?[ _-]+)?(?P<y>{YEAR})(?!\d)"
    ),
    re.compile(rf"(?<!\d)(?P<y>{YEAR})[-_.](?P<m>{MONTH})(?!\d)"),
    re.compile(rf"(?<![\d.])(?<!fy)(?<!fy )(?P<y>{YEAR})(?![\d.]*\d)"),
)
NUMBER = r"\d+(?:[._]\d+)*"
VERSIONS = (
    re.compile(
        rf"(?<![^\W_])(?:version|versión|vers|ver|v|revision|révision|rev|edition|ed|ausgabe|auflage|fassung)"
        rf"\.?[ _-]?(?P<number>{NUMBER})(?P<letter>[a-z]?)(?![^\W_])"
    ),
    re.compile(r"(?<![^\W_])(?:version|revision|rev)\.?[ _-]?(?P<letter>[a-z])(?![^\W_])"),
    re.compile(
        r"(?<![^\W_])(?P<number>\d+)(?:st|nd|rd|th|\.)[ _-]?(?:edition|ed|revision|version|auflage|ausgabe"
        r"|fassung|édition|edición)(?![^\W_])\.?"
    ),
    re.compile(r"(?<![^\W_])[(\[]?(?P<number>\d+(?:\.\d+)+)[)\]]?$"),
)
STAGES = {
    -3: "old obsolete superseded archived veraltet",
    -2: "draft entwurf brouillon borrador wip",
    -1: "reviewed rc",
    1: "final approved signed latest updated endgültig freigegeben aktuell définitif definitivo",
}
STAGE = {word: stage for stage, words in STAGES.items() for word in words.split()}
STAGED = re.compile(rf"[(\[]?(?<![^\W_])(?P<word>{'|'.join(STAGE)})[ _-]*(?P<number>\d{{0,2}})[)\]]?$")
DRAFT_OF = re.compile(r"^(?:draft|entwurf|brouillon|borrador)(?![^\W_])[ _:-]*(?:of )?(?=\S)")
COPY = re.compile(
    r"(?:\((?P<browser>\d{1,3})\)|\([^()]*conflict(?:ed)? copy[^()]*\)"
    r"|(?<![^\W_])(?:copy|kopie|copie|copia)[ _-]*(?P<number>\d{0,3}))$"
)
COPY_OF = re.compile(r"^(?:copy|kopie|copie|copia)(?: ?\(\d+\))? (?:of|von|de) ")
# A number behind one of these says which part of a work it is, not which version.
PART = re.compile(
    r"(?:chapter|section|part|annex|appendix|article|table|figure|volume|kapitel|abschnitt|teil|anhang|artikel"
    r"|tabelle|band|chapitre|partie|annexe|no|nr)\.?[ _-]*$"
)
EDGES = " _-.,;:"
MAX_CHARACTERS = 300  # the marks of a version stand at the end; a longer name is cut at its beginning


def family(name: str) -> tuple[str, Order]:
    """The name without what tells versions apart, and that; an empty stem belongs to no family.

    Of the documents with one stem those whose text is alike are versions of each other, the greatest Order
    the newest; where orders are equal the time of the last change decides. Quarters, numbers of chapters and
    of standards stay in the stem: "Q1 report" and "Q2 report" are two things.
    """
    rest = unicodedata.normalize("NFKC", name).casefold().strip()[-MAX_CHARACTERS:]
    rest, order, before = SUFFIX.sub("", rest), Order(), ""
    while rest != before:
        before = rest
        for strip in (without_copy, without_date, without_version, without_stage):
            rest, order = strip(rest, order)
            rest = re.sub(r"[(\[]\s*[)\]]", " ", rest).strip(EDGES)
    return " ".join(re.findall(r"[^\W_]+", rest)), order


def without_copy(name: str, order: Order) -> tuple[str, Order]:
    if match := COPY.search(name):
        number = int(match["browser"] or match["number"] or 1)
        return name[: match.start()], order._replace(copy=order.copy or number)
    if match := COPY_OF.match(name):
        return name[match.end() :], order._replace(copy=order.copy or 1)
    return name, order


def without_date(name: str, order: Order) -> tuple[str, Order]:
    for pattern in DATES:
        if match := pattern.search(name):
            found = match.groupdict()
            month = MONTHS.get(found.get("n") or "", int(found.get("m") or 0))
            day = int(found.get("d") or found.get("e") or 0)
            date = tuple(part for part in (int(found["y"]), month, day) if part)
            return removed(name, match), order._replace(date=order.date or date)
    return name, order


def without_version(name: str, order: Order) -> tuple[str, Order]:
    for pattern in VERSIONS:
        match = pattern.search(name)
        if match and not PART.search(name[: match.start()]):
            found = match.groupdict()
            numbers = tuple(int(part) for part in re.findall(r"\d+", found.get("number") or ""))
            letter = found.get("letter") or ""
            version = (*numbers, *(ord(each) - ord("a") + 1 for each in letter))
            return removed(name, match), order._replace(version=order.version or version)
    return name, order


def without_stage(name: str, order: Order) -> tuple[str, Order]:
    if match := STAGED.search(name):
        stage = (STAGE[match["word"]], int(match["number"] or 0))
        return removed(name, match), order._replace(stage=order.stage if any(order.stage) else stage)
    if match := DRAFT_OF.match(name):
        return name[match.end() :], order._replace(stage=order.stage if any(order.stage) else (-2, 0))
    return name, order


def removed(name: str, match: re.Match[str]) -> str:
    return f"{name[: match.start()]} {name[match.end() :]}"
