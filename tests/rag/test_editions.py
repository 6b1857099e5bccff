"""Names of versions of one document share a stem, in order; names of other documents do not."""

from __future__ import annotations

import time

import pytest

from rag.editions import Order, family

# Each line: names of one document, the oldest first.
FAMILIES = [
    ["Policy.docx", "Policy v2 final.docx", "Policy v3.docx"],
    ["policy_v1.pdf", "Policy-v2.pdf", "POLICY V10.pdf"],
    ["Policy.pdf", "Policy (1).pdf", "Policy (3).pdf"],
    ["Policy_2024-05-01.docx", "Policy_2024-11-15.docx", "Policy 2025-01-02.docx"],
    ["Policy rev. A.pdf", "Policy rev. B.pdf", "Policy Rev C.pdf"],
    ["Travel policy 2024", "Travel policy 2026"],
    ["Manual v1.9", "Manual v1.10", "Manual v2.0"],
    ["Manual 1.9.pdf", "Manual 1.10.pdf"],
    ["Contract draft.docx", "Contract.docx", "Contract final.docx", "Contract FINAL2.docx"],
    ["Draft - Contract.docx", "Contract_final_final.docx"],
    ["Contract draft 1.docx", "Contract draft 2.docx", "Contract (approved).docx"],
    ["Handbook 1st edition.epub", "Handbook, 2nd ed..epub", "Handbook (3rd Edition).epub"],
    ["20230401 Price list.xlsx", "20240401 Price list.xlsx"],
    ["Preisliste Stand 01.04.2023.xlsx", "Preisliste Stand 15.03.2024.xlsx"],
    ["Satzung - März 2021.pdf", "Satzung - 3. Oktober 2022.pdf"],
    ["Terms of use, March 2023.html", "Terms of use, 14 April 2023.html", "Terms of use, May 2, 2023.html"],
    ["Statutes_old.doc", "Statutes.doc"],
    ["Report.docx", "Report - Copy.docx", "Report - Copy (2).docx"],
    ["Report.docx", "Copy of Report.docx"],
    ["Report.docx", "Report copy 2.docx"],
    ["Report.docx", "Report (Ann's conflicted copy 2024-05-01).docx"],
    ["Spec rev 2a.pdf", "Spec rev 2b.pdf", "Spec rev 3.pdf"],
    ["Betriebsanweisung, 2. Auflage.pdf", "Betriebsanweisung, 3. Auflage.pdf"],
    ["ISO 27001:2013.pdf", "ISO 27001:2022.pdf"],
    ["Onboarding [v1].pptx", "Onboarding [v2].pptx"],
    ["Q1 report v1.pdf", "Q1 report v2.pdf"],
    ["Plan_v2_2024-01-05.xlsx", "Plan_v2_2024-02-05.xlsx", "Plan_v3_2023-12-31.xlsx"],
    ["Annex A rev 1.pdf", "Annex A rev 2.pdf"],
    ["Release checklist rc1.md", "Release checklist rc2.md", "Release checklist.md"],
]
# Each line: names that look alike and are documents of their own.
STRANGERS = [
    ["Q1 report.pdf", "Q2 report.pdf", "Q3 report.pdf"],
    ["Q1 2024 report.pdf", "Q2 2024 report.pdf"],
    ["Chapter 1.pdf", "Chapter 2.pdf"],
    ["Chapter 1.1.pdf", "Chapter 1.2.pdf"],
    ["ISO 9001.pdf", "ISO 14001.pdf"],
    ["Annex A.pdf", "Annex B.pdf"],
    ["Form 1040.pdf", "Form 1120.pdf"],
    ["Report.docx", "Reports.docx"],
    ["Minutes board 2024.docx", "Minutes staff 2024.docx"],
    ["Invoice 4711.pdf", "Invoice 4712.pdf"],
    ["Building 7 plan.dwg", "Building 8 plan.dwg"],
    ["Volume 2.pdf", "Volume 3.pdf"],
    ["Windows 10 guide.html", "Windows 11 guide.html"],
    ["Final exam.pdf", "Exam.pdf"],
    ["Room 2.04 keys.txt", "Room 2.05 keys.txt"],
    ["Budget FY2024.xlsx", "Budget FY2025.xlsx"],
]


@pytest.mark.parametrize("names", FAMILIES, ids=lambda names: names[0])
def test_versions_share_a_stem_and_are_in_order(names: list[str]) -> None:
    found = [family(name) for name in names]
    assert len({stem for stem, _ in found}) == 1
    assert found[0][0]
    orders = [order for _, order in found]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("names", STRANGERS, ids=lambda names: names[0])
def test_other_documents_have_other_stems(names: list[str]) -> None:
    assert len({family(name)[0] for name in names}) == len(names)


@pytest.mark.parametrize("name", ["v2.pdf", "2024-05-01.docx", "final.doc", "(3)", "", "..."])
def test_a_name_that_is_only_a_version_has_no_family(name: str) -> None:
    assert family(name)[0] == ""


def test_an_order_says_what_the_name_says() -> None:
    assert family("Policy_v2.1_2024-05-01_final (3).docx") == (
        "policy",
        Order(version=(2, 1), date=(2024, 5, 1), stage=(1, 0), copy=3),
    )
    assert family("Policy") == ("policy", Order())


@pytest.mark.parametrize("name", ["(" * 50_000, "v" * 50_000, "1." * 50_000, "final " * 5_000, "(1)" * 5_000])
def test_a_hostile_name_takes_no_time(name: str) -> None:
    began = time.process_time()
    family(name)
    assert time.process_time() - began < 2
