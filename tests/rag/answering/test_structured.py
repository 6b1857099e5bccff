"""Which values of a JSON answer a text holds."""

from __future__ import annotations

import pytest

from rag.answering.structured import within


@pytest.mark.parametrize(
    ("value", "text", "held"),
    [
        ("Karl Brandt", "It was founded by Karl Brandt.", True),
        ("Karl", "It was founded by Karla Brandt.", False),
        ("北京", "总部在北京。", True),
        ("300欧元", "预算为300欧元。", True),
        ("300欧元", "预算为1300欧元。", False),
        ("東京", "本社は東京です", True),
        ("नीति", "सुरक्षा नीति", True),
        ("หมี", "ที่นี่มีหมูอยู่", False),
        ("หมู", "ที่นี่มีหมูอยู่", True),
        ("", "Anything.", False),
    ],
)
def test_words_are_held_whole_and_in_a_row_in_every_script(value: str, text: str, held: bool) -> None:
    assert within(value, text) is held
