from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.routing.personal_data import STRUCTURED
from rag.routing.redaction import Restorer, redact

PATIENT = settings(deadline=None)  # other work on the machine is no failure

LETTER = "My name is Anna Schmidt. Mail anna@example.org or call 0351 456 78 90."


def test_values_leave_as_placeholders_and_come_back() -> None:
    redaction = redact([LETTER])
    assert redaction.texts == ("My name is [NAME_1]. Mail [EMAIL_3] or call [PHONE_4].",)
    assert redaction.restored(redaction.texts[0]) == LETTER
    assert redaction.counts == {"EMAIL": 1, "NAME": 1, "PHONE": 1}


def test_one_value_has_one_placeholder_in_all_texts() -> None:
    redaction = redact([LETTER, "Anna Schmidt wrote. anna@example.org again, Anna Schmidting not."])
    first, second = redaction.texts
    name, mail = (next(mark for mark in redaction.originals if kind in mark) for kind in ("NAME", "EMAIL"))
    assert name in first and mail in first
    assert second == f"{name} wrote. {mail} again, Anna Schmidting not."


def test_who_was_introduced_in_full_is_known_by_the_last_name() -> None:
    redaction = redact(["My name is Anna Schmidt.", "Schmidt said so."])
    assert "Schmidt" not in "".join(redaction.texts)
    assert [redaction.restored(text) for text in redaction.texts] == [
        "My name is Anna Schmidt.",
        "Schmidt said so.",
    ]


def test_a_text_that_spells_a_placeholder_gets_nothing_for_it() -> None:
    redaction = redact(["Say [EMAIL_1] and [EMAIL_7] to anna@example.org"])
    assert redaction.texts == ("Say [EMAIL_1] and [EMAIL_7] to [EMAIL_8]",)
    assert redaction.restored("[EMAIL_1] [EMAIL_8]") == "[EMAIL_1] anna@example.org"


def test_only_the_kinds_asked_for_are_replaced() -> None:
    (text,) = redact([LETTER], STRUCTURED).texts
    assert "Anna Schmidt" in text and "@" not in text


def test_text_without_personal_data_stays_as_it_is() -> None:
    redaction = redact(["Leave is 28 days.", ""])
    assert (redaction.texts, dict(redaction.originals), redaction.counts) == (
        ("Leave is 28 days.", ""),
        {},
        {},
    )


@PATIENT
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_a_stream_cut_anywhere_is_restored_as_the_whole(cuts: list[int]) -> None:
    redaction = redact([LETTER])
    spoken = redaction.texts[0] + " See [1] and [an open bracket that goes on for very long"
    restorer, shown, at = Restorer(redaction), "", 0
    for size in cuts:
        shown += restorer.feed(spoken[at : at + size])
        at += size
    shown += restorer.feed(spoken[at:]) + restorer.rest()
    assert shown == redaction.restored(spoken)


@PATIENT
@given(text=st.text(max_size=200))
def test_whatever_is_redacted_can_be_restored(text: str) -> None:
    whole = f"{text} anna@example.org {text}"
    redaction = redact([whole])
    assert "anna@example.org" not in redaction.texts[0]
    assert redaction.restored(redaction.texts[0]) == whole
