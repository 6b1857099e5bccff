"""What is worked out over all rows of a table, and when one row or word is not sure."""

from __future__ import annotations

import pytest

from rag.answering.tables.evidence import compute, cut_off
from rag.answering.tables.grid import grids
from rag.answering.tables.reckoning import Reckoning
from rag.store.catalog import StoredChunk
from rag.types import Chunk, Document, DocumentState, Passage

STAFF = (
    "Department | Women | Men | Total\nSales | 12 | 15 | 27\nIT | 8 | 22 | 30\nHR | 9 | 2 | 11\n"
    "Total | 29 | 39 | 68"
)
DEPOTS = "Depot | 2021 | 2022 | 2023\nBergen | 100 | 120 | 90\nOslo | 80 | 85 | 130\nRome | 60 | 75 | 70"
FARES = "Ticket | Adult (€) | Child (€)\nSingle | 3,20 | 1,60\nDay | 8,50 | 4,00\nWeek | 24,00 | 12,50"
FLEET = (
    "Vehicle | Depot | Type | Mileage km\nHL-1 | Bergen | Van | 900\nHL-2 | Oslo | Truck | 700\n"
    "HL-3 | Bergen | Truck | 800"
)
MUSEUM = (
    "Month | Visitors | Revenue\nJanuary | 10 | 100\nFebruary | 20 | 150\nMarch | – | 90\nApril | 15 | 80"
)
COSTS = "Cost centre | Amount\nRent | 100\nPower | 50\nSubtotal premises | 150\nWages | 400\nTotal | 550"
ANCIENT = (
    "Region | Q1 | Q2 | Q3 | Q4\nNorth | 3410 | 3655 | 3290 | 4120\n"
    "East | 1960 | 2010 | 1875 | 2240\nWest | 4205 | 4390 | 4515 | 4980"
)
TARIFF = "Tarif | 2023 | 2024\nSingle | 3,20 | 3,50\nTag | 8,50 | 9,00"
COVER = "Garantie | Plafond 2022 | Plafond 2023\nVol | 12 000,00 | 15 500,00\nFeu | 1 200,00 | 1 350,00"
PRICES = "Tarif | Preis\nBasis | 34,80\nKomfort | 31,25"
OUTPUT = "Mois | Production\nJanvier | 120,5\nJuin | 402,7"
DESK = "Kind | Q2 | Q3\nTickets | 88 | 71\nCalls | 5 | 6"
YEARS = "Kind | 2022 | 2023\nTickets | 88 | 71\nCalls | 5 | 6"
MIXED = "Item | Value\nStaff | 120\nTurnover | 5000\nSites | 4"


def passage(text: str, title: str, heading: str = "", *, number: int = 0, language: str = "") -> Passage:
    chunk = Chunk(
        f"c{number}",
        number,
        text,
        kind="table",
        heading_path=(heading,) if heading else (),
        language=language,
    )
    return Passage(chunk, "d", 1, title, "/d", 1.0)


def ask(question: str, text: str, title: str = "Report 2023", **more: str) -> Reckoning | None:
    found = compute(question, [passage(text, title, **more)])  # type: ignore[arg-type]
    return found.reckoning if found else None


@pytest.mark.parametrize(
    ("question", "text", "answer", "formula"),
    [
        ("Which department has the most women?", STAFF, "Sales (12)", "12 > 9 > 8"),
        ("What is the average number of men per department?", STAFF, "13 (Men)", "(15 + 22 + 2) / 3"),
        ("How many departments have more than 10 men?", STAFF, "2 (Sales, IT)", "15 > 10, 22 > 10"),
        ("How many departments are there?", STAFF, "3 (Sales, IT, HR)", ""),
        ("Which depot had the highest value in 2023?", DEPOTS, None, ""),
        ("Which depot was the largest in 2023?", DEPOTS, None, ""),
        ("What was the total of all depots in 2023?", DEPOTS, "290 (2023)", "90 + 130 + 70"),
        ("In which year did Oslo have the lowest figure?", DEPOTS, "2021", "80 < 85 < 130"),
        ("What is the cheapest adult ticket?", FARES, "Single (3.2)", "3.2 < 8.5 < 24"),
        ("What is the average price of an adult ticket?", FARES, "11.9 (Adult (€))", "(3.2 + 8.5 + 24) / 3"),
        ("How many trucks are in the fleet?", FLEET, "2 (HL-2, HL-3)", ""),
        ("How many vehicles are stationed in Bergen?", FLEET, "2 (HL-1, HL-3)", ""),
        ("What is the total mileage of all vehicles?", FLEET, "2,400 (Mileage km)", "900 + 700 + 800"),
        ("Rank the vehicles by mileage.", FLEET, "HL-1 (900), HL-3 (800), HL-2 (700)", "900 > 800 > 700"),
        ("Which vehicle has the second highest mileage?", FLEET, "HL-3 (800)", "900 > 800 > 700"),
        ("What was the total revenue from January to March?", MUSEUM, "340 (Revenue)", "100 + 150 + 90"),
        ("Which month had the lowest revenue?", MUSEUM, "April (80)", "80 < 90 < 100 < 150"),
        ("Welcher Monat hatte den höchsten Revenue?", MUSEUM, "February (150)", "150 > 100 > 90 > 80"),
        (
            "What is the sum of shipments in the East?",
            ANCIENT,
            "8,085",
            "1,960 + 2,010 + 1,875 + 2,240",
        ),
    ],
)
def test_all_rows_are_taken_and_totals_are_not(
    question: str, text: str, answer: str | None, formula: str
) -> None:
    titles = {FLEET: "Fleet", ANCIENT: "Shipments 2023"}
    found = ask(question, text, titles.get(text, "Report 2023"))
    assert (found.text, found.formula) == (answer, formula) if found else answer is None


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Which department has the most part-time women?", STAFF),  # a word that the table has not
        ("What is the average age of women?", STAFF),
        ("What was the total number of women in 2021?", STAFF),  # of another year than the title's
        ("Which depot had the most in 2019?", DEPOTS),
        ("Which depot had the highest growth in 2023?", DEPOTS),
        ("Which ticket is the most expensive?", FARES),  # for adults or for children
        ("Which month had the fewest visitors?", MUSEUM),  # a dash may be nothing or not known
        ("What is the average number of visitors?", MUSEUM),
        ("What is the average revenue per day?", MUSEUM),
        ("What is the average amount?", COSTS),  # subtotals part the rows
        ("What is the average value?", MIXED),  # of things that have nothing in common
        ("What is the highest value?", MIXED),
    ],
)
def test_what_is_not_sure_is_not_worked_out(question: str, text: str) -> None:
    assert ask(question, text) is None


def test_figures_that_look_like_years_do_not_cut_the_table() -> None:
    (grid,) = grids(ANCIENT)
    assert [line.label for line in grid.rows] == ["North", "East", "West"]


def test_a_head_of_two_rows_that_repeats_its_corner_is_one_head() -> None:
    (grid,) = grids(
        "Department | 2022 |  | 2023\nDepartment | Plan | Actual | Plan | Actual\n"
        "Roads | 5 | 6 | 7 | 8\nParks | 1 | 2 | 3 | 4"
    )
    assert [line.label for line in grid.columns] == ["2022 Plan", "2022 Actual", "2023 Plan", "2023 Actual"]
    assert [line.label for line in grid.rows] == ["Roads", "Parks"]


def test_of_two_tables_of_a_document_the_one_is_taken_whose_heading_is_named() -> None:
    damage = passage(
        "Region | Q1 | Q2\nNorth | 31 | 28\nWest | 52 | 47", "shipments.xlsx", "Damage claims", number=0
    )
    sent = passage(
        "Region | Q1 | Q2\nNorth | 3410 | 3655\nWest | 4205 | 4390", "shipments.xlsx", "Shipments", number=1
    )
    found = compute("What is the sum of the shipments of all regions in Q2?", [damage, sent])
    assert found is not None and found.reckoning.values == (8045,)
    claims = compute("Which region had the most damage claims in Q2?", [damage, sent])
    assert claims is not None and claims.reckoning.text == "West (47)"
    # The right table has no such quarter: then the other one must not answer in its place.
    early = passage("Region | Q1\nNorth | 3410\nWest | 4205", "shipments.xlsx", "Shipments", number=1)
    assert compute("What is the sum of the shipments of all regions in Q2?", [damage, early]) is None


def test_a_difference_may_stand_in_two_tables_of_a_document() -> None:
    claims = passage(
        "Branch | 2022 | 2023\nMotor | 51 | 57\nHome | 25 | 23\nTotal claims | 76 | 80", "Figures", "Claims"
    )
    paid = passage(
        "Branch | 2022 | 2023\nMotor | 63 | 66\nHome | 36 | 37\nTotal premiums | 99 | 103",
        "Figures",
        "Premiums",
        number=1,
    )
    both = compute("What is the difference between total premiums and total claims in 2022?", [claims, paid])
    assert both is not None and (both.reckoning.text, both.reckoning.formula) == ("23", "99 − 76")
    # With one of the two missing it is no change from the year before.
    assert (
        compute("What is the difference between total premiums and total claims in 2023?", [claims]) is None
    )


@pytest.mark.parametrize(("language", "expected"), [("es", "109,985 (Visitas)"), ("en", None), ("", None)])
def test_three_digits_behind_a_point_are_thousands_only_where_that_is_the_custom(
    language: str, expected: str | None
) -> None:
    text = "Año | Visitas\n2021 | 48.210\n2022 | 61.775"
    found = ask("¿Cuál es la suma de las visitas de 2021 a 2022?", text, language=language)
    assert (found.text if found else None) == expected


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("Um wie viel ist Single von 2023 auf 2024 gestiegen?", TARIFF, "0.3"),
        ("De combien le plafond vol a-t-il augmenté entre 2022 et 2023 ?", COVER, "3,500"),
        ("Welcher Tarif hat den niedrigsten Preis?", PRICES, "Komfort (31.25)"),
        ("Quel mois a eu la production la plus élevée ?", OUTPUT, "Juin (402.7)"),
        ("¿En qué año hubo más visitas?", "Año | Visitas\n2021 | 48\n2022 | 61", "2022 (61)"),
        ("How many more tickets were there in Q2 than in Q3?", DESK, "17"),
        ("How many fewer tickets were there in Q3 than in Q2?", DESK, "17"),
        ("By how much did tickets increase from 2022 to 2023?", YEARS, "−17"),
        ("What was the growth of tickets between 2022 and 2023 in percent?", YEARS, "-19.32 %"),
    ],
)
def test_changes_and_extremes_in_four_languages(question: str, text: str, answer: str) -> None:
    found = ask(question, text, "Liste")
    assert found is not None and found.text == answer


def test_a_part_of_the_table_that_was_not_found_is_told() -> None:
    head = "Vehicle | Mileage km"
    first = passage(f"{head}\nHL-1 | 900\nHL-2 | 700", "Fleet")
    found = compute("Which vehicle has the highest mileage?", [first])
    assert found is not None and found.reckoning.whole
    document = Document("d", "/d", "Fleet", "default", "default", "0" * 64, 1, DocumentState.LIVE)
    rest = StoredChunk(Chunk("c1", 1, f"{head}\nHL-3 | 2000", kind="table"), document)
    other = StoredChunk(Chunk("c2", 2, "Driver | Age\nAnna | 41", kind="table"), document)
    missing = cut_off(found, {"c0": [rest, other]})
    assert [each.chunk.id for each in missing] == ["c1"]
    again = compute("Which vehicle has the highest mileage?", [first, *missing])
    assert again is not None and again.reckoning.text == "HL-3 (2,000)"
    assert cut_off(again, {"c0": [rest], "c1": []}) == []
