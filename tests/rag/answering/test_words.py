"""The words of a text, in every script."""

from __future__ import annotations

import pytest

from rag.answering.words import content, proper, stems_of


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("Employees may not smoke in the building.", ["employ", "smoke", "buildi"]),
        ("Der Drucker braucht -20 Grad", ["drucke", "brauch", "-20", "grad"]),
        # Vowel signs and accents are part of a word.
        ("सुरक्षा नीति", ["सुरक्ष", "नीति"]),
        ("cafe\u0301 now", ["cafe\u0301", "now"]),
        # The article and what grows together with it are not; forms of alif are one letter.
        ("الميزانية والميزانية أحمد", ["ميزاني", "ميزاني", "احمد"]),
        # Without spaces: pairs of characters; numbers and Latin words stay whole.
        ("预算是5000欧元", ["预算", "算是", "5000", "欧元"]),
        ("在WSE", ["在", "wse"]),
        ("ਪੰਜਾਬੀ ਸੱਚ", ["ਪੰਜਾਬੀ", "ਸੱਚ"]),
        ("භාෂාව", ["භාෂාව"]),
        ("予算は300円", ["予算", "算は", "300", "円"]),
    ],
)
def test_content_words_are_found_in_every_script(text: str, stems: list[str]) -> None:
    assert content(text) == stems


def test_stems_of_small_words_meet_those_of_a_text() -> None:
    assert stems_of(frozenset({"когда", "什么"})) == {"когда", "什么"}


def test_a_number_is_a_name_of_its_own_where_words_are_not_spaced() -> None:
    assert proper("请问2008年奥运会在哪里举行") == ["2008"]
    assert proper("Who leads Kiel 2008?") == ["leads", "kiel", "2008"][1:]
