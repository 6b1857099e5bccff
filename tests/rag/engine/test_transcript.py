"""What of an answer may be shown, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.transcript import Transcript


def told(transcript: Transcript, pieces: list[bytes]) -> list[str]:
    return [transcript.push(piece) for piece in pieces] + [transcript.finish()]


def test_half_a_character_is_never_shown() -> None:
    seed = "🌱".encode()
    assert told(Transcript(), [b"a" + seed[:1], seed[1:3], seed[3:] + b"b"]) == ["a", "", "🌱b", ""]


def test_half_a_character_at_the_end_is_dropped() -> None:
    assert told(Transcript(), ["ü".encode()[:1]]) == ["", ""]


def test_a_stop_string_across_tokens_ends_the_text_before_it() -> None:
    transcript = Transcript(["\nUser:"])
    assert told(transcript, [b"yes.\n", b"Us", b"er: and"]) == ["yes.", "", "", ""]
    assert transcript.stopped


def test_what_only_looked_like_a_stop_string_is_shown() -> None:
    transcript = Transcript(["\nUser:"])
    assert "".join(told(transcript, [b"yes.\n", b"Us", b"ually"])) == "yes.\nUsually"
    assert not transcript.stopped


def test_the_first_of_several_stop_strings_counts() -> None:
    assert told(Transcript(["cd", "b"]), [b"abcd"]) == ["a", ""]


@pytest.mark.parametrize("stops", [[], ["zz", "q"]])
@given(text=st.text(alphabet="abz🌱ü", max_size=30), cut=st.integers(1, 4))
def test_any_cut_of_the_bytes_gives_the_same_text(stops: list[str], text: str, cut: int) -> None:
    data = text.encode()
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    ends = [text.find(stop) for stop in stops if stop in text]
    assert "".join(told(Transcript(stops), pieces)) == text[: min(ends, default=len(text))]
