"""What a chunk supports, and what it does not, fact by fact."""

from __future__ import annotations

import pytest

from rag.answering.grounding import check, windows
from rag.types import Chunk

SOURCE = Chunk(
    id="c",
    ordinal=0,
    text=(
        "The travel policy was approved by Marta Lindqvist on 3 March 2026. "
        "Employees may claim 48 euros per day in Germany and 62 euros per day in Norway. "
        "Receipts must be filed within 30 days. Taxis are not reimbursed. "
        "The CT-200 sensor measures between -40 and 85 °C. Karl Brandt founded the company in 1998."
    ),
    heading_path=("Travel",),
)


def verdict(claim: str, similarity: float = 0.9) -> tuple[bool, str]:
    verdicts = [check(claim, window, similarity) for window in windows(SOURCE, title="Handbook")]
    best = next((each for each in verdicts if each.supported), verdicts[0])
    return best.supported, best.reason


@pytest.mark.parametrize(
    "claim",
    [
        "Employees may claim 48 euros per day in Germany.",
        "Employees may claim €48 per day in Germany.",
        "Receipts must be filed within thirty days.",
        "The policy was approved by Marta Lindqvist on 2026-03-03.",
        "The travel policy was approved in March 2026.",
        "Taxis are not reimbursed.",
        "Karl Brandt founded the company in 1998.",
        "The CT-200 sensor measures between -40 and 85 °C.",
    ],
)
def test_a_sentence_whose_facts_are_in_the_source_is_supported(claim: str) -> None:
    assert verdict(claim) == (True, "every fact is in the source")


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("Employees may claim 84 euros per day in Germany.", "number"),
        ("Employees may claim 48 dollars per day in Germany.", "48 is not in $"),
        ("Receipts must be filed within 30 hours.", "30 is not in hour"),
        ("The travel policy was approved by Marta Lindqvist on 4 March 2026.", "date"),
        ("The travel policy was approved by Marta Lindqvist in May 2026.", "date"),
        ("The travel policy was approved by Marta Brandt.", "name"),
        ("Karl Lindqvist founded the company in 1998.", "name"),
        ("Karl Brandt founded the company in 2026.", "number"),
        ("Taxis are reimbursed.", "negated"),
        ("Receipts must not be filed within 30 days.", "negated"),
        ("The CT-300 sensor measures between -40 and 85 °C.", "300"),
        ("Employees may buy a new laptop every winter.", "is not in the source"),
        ("Employees are forbidden to claim 48 euros per day in Germany.", "opposite"),
    ],
)
def test_one_wrong_fact_makes_a_sentence_unsupported(claim: str, why: str) -> None:
    verdicts = [check(claim, window, 0.95) for window in windows(SOURCE, title="Handbook")]
    assert not any(each.supported for each in verdicts)
    assert any(why in each.reason for each in verdicts), {each.reason for each in verdicts}


def test_a_word_of_neither_source_nor_question_is_invented() -> None:
    window = windows(SOURCE)[1]
    claim = "Employees may generously claim 48 euros per day in Germany."
    assert "'generously'" in check(claim, window, 0.95).reason
    assert check(claim, window, 0.95, question="What may employees generously claim?").supported


def test_facts_of_neighbouring_sentences_do_not_add_up_to_a_new_one() -> None:
    assert not verdict("Receipts in Norway must be filed within 30 days.")[0]


def test_facts_of_distant_sentences_do_not_add_up_to_a_new_one() -> None:
    assert not verdict("Karl Brandt may claim 62 euros.")[0]


def test_half_of_a_name_is_another_name() -> None:
    chunk = Chunk(
        "m", 0, "The Museum of Hunting and Riding is near the Museum of Posters, the world's first."
    )
    (window,) = windows(chunk)
    assert "museum of riding" in check("The Museum of Riding is the world's first.", window, 0.9).reason


def test_words_alone_are_not_enough_without_the_meaning() -> None:
    assert not verdict("Employees may claim 48 euros per day in Germany.", similarity=0.2)[0]


def test_the_evidence_is_the_sentence_with_the_facts() -> None:
    found = [check("Receipts must be filed within 30 days.", window, 0.9) for window in windows(SOURCE)]
    evidence = next(each.evidence for each in found if each.supported)
    assert evidence is not None
    assert SOURCE.text[evidence.start : evidence.end] == "Receipts must be filed within 30 days."


def test_a_table_row_supports_what_its_header_and_cells_say() -> None:
    chunk = Chunk("t", 0, "Region | Limit in euros\nNorth | 20\nSouth | 30", kind="table")
    right = [check("The limit in the South is 30 euros.", window, 0.9) for window in windows(chunk)]
    wrong = [check("The limit in the South is 40 euros.", window, 0.9) for window in windows(chunk)]
    assert any(each.supported for each in right)
    assert not any(each.supported for each in wrong)


@pytest.mark.parametrize(
    ("claim", "supported"),
    [
        ("Staff have 28 days of leave.", True),
        ("Staff have twenty-eight days of leave.", True),
        ("Staff have 27 days of leave.", False),
        ("Staff have twenty-seven days of leave.", False),
        ("The gate opens at half past nine.", True),
        ("The gate opens at half past eight.", False),
    ],
)
def test_a_number_in_words_is_the_number_in_digits(claim: str, supported: bool) -> None:
    source = Chunk("c", 0, "Staff have twenty-eight days of leave. The gate opens at 9:30.")
    assert any(check(claim, window, 0.9).supported for window in windows(source)) is supported


STRANGE = [
    ("Les animaux ne sont pas autorisés dans les bureaux.", "Les animaux sont autorisés dans les bureaux."),
    ("I dipendenti non possono portare cani in ufficio.", "I dipendenti possono portare cani in ufficio."),
    ("De medewerkers mogen niet roken in het gebouw.", "De medewerkers mogen roken in het gebouw."),
    ("Os funcionários não podem fumar no prédio.", "Os funcionários podem fumar no prédio."),
    (
        "Psi nejsou v budově povoleni a platí to pro sklad.",
        "Psi jsou v budově povoleni a platí to pro sklad.",
    ),
    ("Курение в здании не разрешено.", "Курение в здании разрешено."),
    ("يجب ألا يتجاوز المبلغ 500 يورو.", "يجب يتجاوز المبلغ 500 يورو."),
    ("楼内吸烟是不被允许的，楼内吸烟是被处罚的。", "楼内吸烟是被允许的，楼内吸烟是被处罚的。"),
    ("कर्मचारी भवन में धूम्रपान नहीं कर सकते।", "कर्मचारी भवन में धूम्रपान कर सकते।"),
    ("සේවකයින්ට දුම්පානය තහනම් වේ.", "සේවකයින්ට දුම්පානය තහනම් වී."),
    # Too short to tell the language, or one that is not told at all.
    ("Animaux non autorisés.", "Animaux autorisés."),
    ("Cani non ammessi.", "Cani ammessi."),
    ("Hunde ikke tilladt.", "Hunde tilladt."),
    ("ANIMAUX NON AUTORISÉS", "ANIMAUX AUTORISÉS"),
    ("Не входить.", "Входить."),
    ("Kafshët nuk lejohen në zyrë.", "Kafshët lejohen në zyrë."),
    ("Pekerja ini tidak dapat masuk dengan anjing.", "Pekerja ini dapat masuk dengan anjing."),
    ("Suņi nav atļauti birojā un tas ir visiem.", "Suņi atļauti birojā un tas ir visiem."),
    # What no word says.
    ("La note de la salle est ≥ 20 dans le rapport.", "La note de la salle est ≤ 20 dans le rapport."),
]


def supports(source: str, claim: str) -> bool:
    return any(check(claim, window, 0.95).supported for window in windows(Chunk("c", 0, source)))


@pytest.mark.parametrize(("source", "claim"), STRANGE)
def test_in_a_language_whose_small_words_are_not_known_only_whole_sentences_are_supported(
    source: str, claim: str
) -> None:
    assert not supports(source, claim)
    assert supports(source, source)
    assert supports(source, source.rstrip(".。।"))


def test_a_sentence_in_another_language_than_its_chunk_is_seen() -> None:
    told = "Staff of the plant are told in the language of the site. "
    no_smoking = "Il est interdit de fumer sauf dans la cour."
    assert not supports(told + no_smoking, "Il est interdit de fumer dans la cour.")
    assert supports(told + no_smoking, no_smoking)
    assert not supports(told + "Røyking er ikke tillatt.", "Røyking er tillatt.")
    assert not supports(told + "Cani non ammessi.", "Cani ammessi.")
    assert supports(told + "Taxis are paid by the firm in Kiel.", "Taxis are paid by the firm.")


def test_a_sign_of_a_bound_is_not_turned_nor_left_out() -> None:
    source = "The note of the room is ≥ 20 in the report."
    assert supports(source, source)
    assert not supports(source, "The note of the room is ≤ 20 in the report.")
    assert not supports(source, "The note of the room is 20 in the report.")


def test_where_the_language_cannot_be_told_no_word_is_left_out() -> None:
    assert supports("Kiel office: 48 euros", "Kiel office: 48 euros.")
    assert not supports("Kiel office: 48 euros, before noon", "Kiel office: 48 euros.")
    assert not supports("Kiel, Bonn, Oslo", "Kiel, Oslo")


def test_a_row_of_a_table_in_another_language_is_one_sentence() -> None:
    rows = [
        "| Ville | Montant de la prime |",
        "|---|---|",
        "| Paris dans le centre | 300 |",
        "| Lyon est la | 20 |",
    ]
    assert supports("\n".join(rows), rows[2])
    assert not supports("\n".join(rows), "| Paris dans le centre | 20 |")
