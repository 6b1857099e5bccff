"""What is worked out of rows and times that a question names, and when one word is not accounted for."""

from __future__ import annotations

import pytest

from rag.answering.tables.evidence import compute
from rag.answering.tables.reckoning import Reckoning
from rag.types import Chunk, Passage

SPENDING = (
    "Name | Travel | Meals | Equipment | Total\nAnna | 420 | 180 | 950 | 1550\nBen | 610 | 240 | 130 | 980\n"
    "Carla | 150 | 90 | 2100 | 2340\nTotal | 1180 | 510 | 3180 | 4870"
)
SALES = (
    "Month | Books | Maps\nJanuary | 1200 | 310\nFebruary | 1150 | 290\nMarch | 1320 | 335\n"
    "April | 1405 | 360\nMay | 1380 | 400\nJune | 1290 | 455"
)
STAFF = (
    "Department | Head | Employees | City\nGrid | Maren Holt | 142 | Odense\n"
    "Care | Luis Ferro | 87 | Aarhus\n"
    "Trading | Petra Vos | 31 | Bergen\nFinance | Jonas Weil | 24 | Bergen"
)
PRICES = (
    "Item | Category | Price EUR | Weight kg\nCity bike | Bicycle | 849 | 15.2\n"
    "Trail bike | Bicycle | 1290 | 13.8\nHelmet | Accessory | 65 | 0.4\nChild seat | Accessory | 119 | 3.1"
)
BUDGET = (
    "Item | Plan 2022 | Actual 2022 | Plan 2023 | Actual 2023\nRoads | 10 | 12 | 13 | 15\n"
    "Parks | 5 | 4 | 6 | 7\nTotal spending | 15 | 16 | 19 | 22"
)
QUARTERS = "Quarter | 2023 | 2024\nQ1 | 100 | 110\nQ2 | 120 | 115\nQ3 | 90 | 130\nQ4 | 140 | 150"
LEVELS = "Quarter | Employees | Revenue\nQ1 | 20 | 300\nQ2 | 22 | 310\nQ3 | 23 | 320\nQ4 | 24 | 350"
COSTS = "Poste | 2022 | 2023\nLoyer | 24 000 | 24 600\nÉnergie | 8 400 | 11 200\nTotal | 32 400 | 35 800"
OFFICES = "Abteilung | Mitarbeiter | Standort\nVertrieb | 24 | Köln\nTechnik | 41 | Bonn\nEinkauf | 8 | Köln"
SHOPS = "Tienda | Primer trimestre | Segundo trimestre\nLugo | 52 | 54\nVigo | 41 | 43"
TITLES = {
    SPENDING: "Spending 2024",
    SALES: "Sales 2024",
    STAFF: "Organisation",
    PRICES: "Price list",
    BUDGET: "Budget",
    QUARTERS: "Sales",
    LEVELS: "Key figures 2024",
    COSTS: "Charges",
    OFFICES: "Standorte",
    SHOPS: "Ventas 2023",
}
LANGUAGES = {COSTS: "fr", OFFICES: "de", SHOPS: "es"}


def ask(question: str, text: str, title: str = "") -> Reckoning | None:
    chunk = Chunk("c0", 0, text, kind="table", language=LANGUAGES.get(text, ""))
    found = compute(question, [Passage(chunk, "d", 1, title or TITLES[text], "/d", 1.0)])
    return found.reckoning if found else None


@pytest.mark.parametrize(
    ("question", "text", "answer", "formula"),
    [
        ("What did Anna and Ben spend together?", SPENDING, "2,530 (Anna, Ben; Total)", "1,550 + 980"),
        ("What was the average spending of Anna and Ben on meals?", SPENDING, "210", "(180 + 240) / 2"),
        ("How much less did Anna spend on travel than Ben?", SPENDING, "190", "610 − 420"),
        ("What is the difference between Carla and Anna in travel?", SPENDING, "270", "420 − 150"),
        ("What share of the total is travel?", SPENDING, "24.23 %", "1,180 / 4,870"),
        ("What share of Ben's total is travel?", SPENDING, "62.24 %", "610 / 980"),
        ("What percentage of the meals was Anna and Ben?", SPENDING, "82.35 %", "(180 + 240) / 510"),
        ("What is Anna's share of the total?", SPENDING, "31.83 %", "1,550 / 4,870"),
        ("How many books were sold in Q2 2024?", SALES, "4,075", "1,405 + 1,380 + 1,290"),
        ("How many more books than maps were sold in March?", SALES, "985", "1,320 − 335"),
        ("How many more books were sold in March than in May?", SALES, None, ""),
        ("How many books and maps were sold in January altogether?", SALES, "1,510", "1,200 + 310"),
        ("How many people work in Bergen?", STAFF, "55 (Trading, Finance; Employees)", "31 + 24"),
        ("Which team has the most staff?", STAFF, "Grid (142)", "142 > 87 > 31 > 24"),
        ("What share of the staff works in Care?", STAFF, "30.63 %", "87 / (142 + 87 + 31 + 24)"),
        ("What do a helmet and a child seat cost together?", PRICES, "184", "65 + 119"),
        ("What do a helmet and a child seat weigh together?", PRICES, "3.5", "0.4 + 3.1"),
        ("How much cheaper is the city bike than the trail bike?", PRICES, "441", "1,290 − 849"),
        ("Which item has the highest cost?", PRICES, "Trail bike (1,290)", "1,290 > 849 > 119 > 65"),
        ("What is the difference between plan and actual for roads in 2023?", BUDGET, "2", "15 − 13"),
        ("What was the actual spending on roads and parks together in 2023?", BUDGET, "22", "15 + 7"),
        ("What were the sales in the first half of 2024?", QUARTERS, "225", "110 + 115"),
        ("What was the turnover in 2023?", QUARTERS, "450", "100 + 120 + 90 + 140"),
        ("What was the revenue in the second half?", LEVELS, "670", "320 + 350"),
        ("Quelle part du total représente l'énergie en 2023 ?", COSTS, "31.28 %", "11,200 / 35,800"),
        ("Combien ont coûté le loyer et l'énergie en 2023 au total ?", COSTS, "35,800", "24,600 + 11,200"),
        ("Wie viele Mitarbeiter arbeiten in Köln?", OFFICES, "32", "24 + 8"),
        ("Wie viele Mitarbeiter hat die Technik mehr als der Einkauf?", OFFICES, "33", "41 − 8"),
        ("¿Cuánto vendieron Lugo y Vigo juntas en el segundo trimestre?", SHOPS, "97", "54 + 43"),
        ("¿Cuánto vendió Lugo en el primer semestre?", SHOPS, "106", "52 + 54"),
    ],
)
def test_named_rows_and_times_are_put_together(
    question: str, text: str, answer: str | None, formula: str
) -> None:
    found = ask(question, text)
    if answer is None:
        assert found is None
        return
    assert found is not None
    assert (found.text if "(" in answer else found.text.partition(" (")[0], found.formula) == (
        answer,
        formula,
    )


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What did Anna and Emil spend together?", SPENDING),
        ("What did Anna or Ben spend together?", SPENDING),
        ("What did all but Anna and Ben spend together?", SPENDING),
        ("What is the total from Anna to Carla?", SPENDING),
        ("What did Anna and Ben spend together in 2022?", SPENDING),
        ("What did Anna and Ben earn together?", SPENDING),
        ("What did Anna and Ben spend per month together?", SPENDING),
        ("What share of the total did Ben spend on travel?", SPENDING),  # of his, or of all travel
        ("How much more did Anna spend on travel than Ben?", SPENDING),  # she spent less
        ("How many books were sold in the second half of 2024?", SALES),  # no row of these months
        ("How many books were sold in the first half of 2023?", SALES),
        ("How many books were sold in Q1 and Q2?", SALES),  # two figures, not said together
        ("How many books were returned in the first half of 2024?", SALES),
        ("How many women work in Bergen?", STAFF),
        ("How many people work in Oslo?", STAFF),
        ("What do a bike and a helmet cost together?", PRICES),
        ("What do a helmet and two child seats cost together?", PRICES),
        ("What is the difference between plan and actual for roads?", BUDGET),  # of which year
        ("What were the sales in the first half?", QUARTERS),
        ("How many employees did we have in the first half?", LEVELS),
        ("What was the total number of employees in the first half?", LEVELS),
        ("What was the total number of employees in Q1 and Q2?", LEVELS),
        ("Combien coûtent loyer et énergie ensemble ?", COSTS),
        ("Wie viele Frauen arbeiten in Köln?", OFFICES),
    ],
)
def test_what_names_more_than_the_table_has_is_declined(question: str, text: str) -> None:
    assert ask(question, text) is None


def test_rows_of_one_name_in_two_sections_are_not_told_apart() -> None:
    sections = "Item | 2023\nRevenue |\nGermany | 12\nFrance | 22\nCosts |\nGermany | 6\nFrance | 8"
    assert ask("What were the revenues of Germany and France in 2023 together?", sections, "Accounts") is None


def test_another_word_for_a_heading_needs_one_column_that_can_be_meant() -> None:
    two = "Item | Price | Fee\nDesk | 300 | 20\nLamp | 40 | 5"
    assert ask("What do a desk and a lamp cost together?", two, "Furniture") is None
    one = "Item | Price | Weight\nDesk | 300 | 20\nLamp | 40 | 5"
    found = ask("What do a desk and a lamp cost together?", one, "Furniture")
    assert found is not None and found.formula == "300 + 40"


def test_a_heading_around_the_table_does_not_stand_for_its_column() -> None:
    weights = "Item | Weight\nDesk | 20\nLamp | 5"
    assert ask("What do a desk and a lamp cost together?", weights, "Price list") is None


def test_a_share_is_never_looked_up_as_an_amount() -> None:
    staff = "Team | Full-time | Part-time | Total\nArt | 8 | 3 | 11\nHelp | 12 | 9 | 21\nTotal | 20 | 12 | 32"
    found = ask("What share of Help is part-time?", staff, "Staff 2024")
    assert found is not None and (found.unit, found.formula) == ("%", "9 / 21")


def test_levels_are_not_added_over_times() -> None:
    stock = "Article | January | February\nBolts stock | 500 | 450\nNuts stock | 300 | 320"
    assert ask("How many bolts were in stock in January and February together?", stock, "Warehouse") is None
