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
        "5 pieces @ 3.50 each, 1234.5678.9012 in all",
        "12:30:45 and 2019-01-02-03",
    ],
)
def test_what_only_looks_alike_is_left(text: str) -> None:
    assert [one for one in found(text) if one[0] in STRUCTURED] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("IBAN DE89.3704.0044.0532.0130.00", "DE89.3704.0044.0532.0130.00"),
        ("IBAN DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "DE89\u00a03704\u00a00044\u00a00532"),
        ("card no. 5555.5555.5555.4444", "5555.5555.5555.4444"),
        ("5555\u00a05555\u00a05555\u00a04444", "5555\u00a05555\u00a05555\u00a04444"),
        ("4111\u20131111\u20131111\u20131111", "4111\u20131111\u20131111\u20131111"),
        ("(o'brien@example.ie)", "o'brien@example.ie"),
        ("user%dept@example.com", "user%dept@example.com"),
        ("anna [at] example [dot] org", "anna [at] example [dot] org"),
        ("anna(at)example.org", "anna(at)example.org"),
        ("anna @ example.org", "anna @ example.org"),
        ("Tel.: 030 / 90 18 20", "030 / 90 18 20"),
        ("+49\u00a0170\u00a01234567", "+49\u00a0170\u00a01234567"),
        ("+49\u2013170\u20131234567", "+49\u2013170\u20131234567"),
        ("SSN 123456789", "123456789"),
        ("ab123456c", "ab123456c"),
        ("IdNr. 36574261809", "36574261809"),
        ("PESEL 44051401359", "44051401359"),
        ("rssmra85t10a562s", "rssmra85t10a562s"),
        ("AHV 756.9217.0769.85", "756.9217.0769.85"),
        ("CPF 111.444.777-35", "111.444.777-35"),
        ("Aadhaar 2341 2341 2346", "2341 2341 2346"),
        ("Reisepass-Nr.: C4VPXL1J8", "C4VPXL1J8"),
        ("Personalausweis L01X00T471", "L01X00T471"),
        ("driver's license D1234567", "D1234567"),
        ("server 2001:0db8:85a3:0000:0000:8a2e:0370:7334.", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("mac 00:1A:2B:3C:4D:5E is", "00:1A:2B:3C:4D:5E"),
        ("00-1a-2b-3c-4d-5e", "00-1a-2b-3c-4d-5e"),
        ("001A.2B3C.4D5E", "001A.2B3C.4D5E"),
        ("Date of Birth (DD/MM/YYYY): 12/03/1985", "12/03/1985"),
        ("fecha de nacimiento: 12 de marzo de 1985", "12 de marzo de 1985"),
        ("data di nascita 12/03/1985", "12/03/1985"),
    ],
)
def test_a_form_is_found_in_the_ways_people_write_it(text: str, value: str) -> None:
    start = text.index(value)
    places = range(start, start + len(value))
    covered = {at for one in find(text, STRUCTURED) for at in range(one.start, one.end)}
    assert covered.issuperset(places)


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
