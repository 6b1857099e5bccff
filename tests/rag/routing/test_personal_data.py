"""Personal data in the developer set, in numbers made for the test, and in text that holds none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.iso7064 import mod_97_10

from rag.routing.personal_data import REGIONS, STRUCTURED, DataKind, find

PATIENT = settings(deadline=None)  # other work on the machine is no failure

DEV_SET = Path(__file__).resolve().parents[4] / "shared/data/dev_set"
needs_dev_set = pytest.mark.skipif(
    not DEV_SET.exists(), reason="the developer set is not beside this repository (../shared/data/dev_set)"
)
KINDS = {
    "CREDIT_CARD": DataKind.CARD,
    "EMAIL_ADDRESS": DataKind.EMAIL,
    "PHONE_NUMBER": DataKind.PHONE,
    "IBAN_CODE": DataKind.IBAN,
    "IP_ADDRESS": DataKind.IP,
    "US_SSN": DataKind.TAX_ID,
    "US_DRIVER_LICENSE": DataKind.TAX_ID,
}


def found(text: str) -> list[tuple[DataKind, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (
            "Write to anna.schmidt+hr@mail.example.org, please.",
            DataKind.EMAIL,
            "anna.schmidt+hr@mail.example.org",
        ),
        ("Konto DE89 3704 0044 0532 0130 00 bei uns", DataKind.IBAN, "DE89 3704 0044 0532 0130 00"),
        ("pay to GB82WEST12345698765432AND nothing", DataKind.IBAN, ""),
        ("card 4111 1111 1111 1111 expires", DataKind.CARD, "4111 1111 1111 1111"),
        ("log in from 203.0.113.77 today", DataKind.IP, "203.0.113.77"),
        ("host 2001:db8:85a3::8a2e:370:7334 is down", DataKind.IP, "2001:db8:85a3::8a2e:370:7334"),
        (
            "see https://anna:geheim@host.example.org/x",
            DataKind.SECRET_URL,
            "https://anna:geheim@host.example.org/x",
        ),
        (
            "https://example.org/?a=1&token=abc123",
            DataKind.SECRET_URL,
            "https://example.org/?a=1&token=abc123",
        ),
        ("Call me at 0351 4567 89", DataKind.PHONE, "0351 4567 89"),
        ("reach us: +49 (0)351 456 78 90", DataKind.PHONE, "+49 (0)351 456 78 90"),
        ("SSN 123-45-6789", DataKind.TAX_ID, "123-45-6789"),
        ("Steuer-ID: 65 929 970 489", DataKind.TAX_ID, "65 929 970 489"),
        ("codice RSSMRA85T10A562S fiscale", DataKind.TAX_ID, "RSSMRA85T10A562S"),
        ("She was born on 12 March 1980 in Ulm", DataKind.BIRTH_DATE, "12 March 1980"),
        ("Geburtsdatum: 03.07.1971", DataKind.BIRTH_DATE, "03.07.1971"),
        ("Please ask Mrs. Van Dyke about it", DataKind.NAME, "Van Dyke"),
        ("My name is Anna Schmidt and", DataKind.NAME, "Anna Schmidt"),
        ("lives at 22 Pollen Crescent now", DataKind.ADDRESS, "22 Pollen Crescent"),
        ("wohnt in der Hauptstraße 5", DataKind.ADDRESS, "Hauptstraße 5"),
    ],
)
def test_a_form_is_found_whole(text: str, kind: DataKind, value: str) -> None:
    assert ((kind, value) in found(text)) is bool(value)


@pytest.mark.parametrize(
    "text",
    [
        "Release 1.2.3.4 and section 4.10.2.1 of version 10.2.3.14",
        "Revenue was 1,204.7 million in 2019 and 2018 2017 2016 2015 before",
        "The totals were 374 780 163 and 12 345 678 in 2019-2020",
        "ISBN 978-3-16-148410-0, order 1234567890123456",
        "at 12:30:45 on 2021-03-04 the std::vector ::add was called on 127.0.0.1",
        "tax   613   2   provision 246   245",
        "the card costs 4111 euros, call options 2019",
        "https://example.org/tokens?page=3",
        "born in 1980 in Ulm",
    ],
)
def test_what_only_looks_alike_is_left(text: str) -> None:
    assert [one for one in found(text) if one[0] in STRUCTURED] == []


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_s_numbers_are_found_as_they_are_dialled(region: str) -> None:
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
        number = phonenumbers.example_number_for_type(region, kind)
        abroad = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        assert found(f"Das ist {abroad}, oder?") == [(DataKind.PHONE, abroad)]
        at_home = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        assert (DataKind.PHONE, at_home) in found(f"Telephone: {at_home}.")


@PATIENT
@given(digits=st.text("0123456789", min_size=18, max_size=18))
def test_every_german_account_number_is_found_with_and_without_spaces(digits: str) -> None:
    check = mod_97_10.calc_check_digits(digits + "DE")
    number = f"DE{check}{digits}"
    for spelt in (number, iban.format(number)):
        assert found(f"auf {spelt} bitte") == [(DataKind.IBAN, spelt)]


@PATIENT
@given(digits=st.text("0123456789", min_size=14, max_size=14))
def test_every_visa_number_is_found_and_none_with_a_wrong_digit(digits: str) -> None:
    number = f"4{digits}"
    number += luhn.calc_check_digit(number)
    assert found(f"with {number} I paid") == [(DataKind.CARD, number)]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert found(f"with {wrong} I paid") == []


@PATIENT
@given(text=st.text(max_size=300))
def test_findings_never_overlap_and_lie_in_the_text(text: str) -> None:
    ends = 0
    for one in find(text):
        assert ends <= one.start < one.end <= len(text)
        ends = one.end


def test_long_text_takes_time_in_proportion() -> None:
    # A pattern that tries every start of a run again would take minutes here.
    for run in (
        "a" * 200_000,
        "1" * 200_000,
        "1 " * 100_000,
        "A B " * 50_000,
        "a.b-" * 50_000,
        "12:" * 60_000,
    ):
        find(run)


@needs_dev_set
def test_structured_kinds_of_the_developer_set_are_found() -> None:
    wanted, hit, said, right = (Counter[DataKind]() for _ in range(4))
    for row in map(json.loads, (DEV_SET / "pii/pii.jsonl").read_text("utf-8").splitlines()):
        spans = [(KINDS[s["type"]], s["start"], s["end"]) for s in row["spans"] if s["type"] in KINDS]
        findings = [one for one in find(row["text"]) if one.kind in KINDS.values()]
        for kind, start, end in spans:
            wanted[kind] += 1
            hit[kind] += any(one.kind is kind and one.start <= start and end <= one.end for one in findings)
        for one in findings:
            said[one.kind] += 1
            right[one.kind] += any(
                one.kind is kind and one.start < end and start < one.end for kind, start, end in spans
            )
    assert wanted.total() == 70
    assert hit.total() / wanted.total() >= 0.95
    assert right.total() / said.total() >= 0.90


@needs_dev_set
def test_figures_of_annual_reports_are_hardly_touched() -> None:
    rows = (DEV_SET / "qa/tatqa/corpus.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(row)["text"] for row in rows[:100]]
    touched = [one for text in texts for one in find(text, STRUCTURED)]
    assert len(touched) <= 2
