"""Near-duplicates are found and other texts are not; the same text has the same signature everywhere."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.duplicates import ALIKE, BANDS, HASHES, bands, signature, similarity

ROOT = Path(__file__).resolve().parents[2]
# Written down once: a stored signature must be comparable with every later one.
CANONICAL = "Employees have 28 days of paid leave a year; 日本語 too."


def made_up(seed: int, words: int = 400) -> list[str]:
    """Words as in a real text: few of them make up most of it."""
    chance = random.Random(seed)
    return [f"w{int(chance.paretovariate(0.5))}" for _ in range(words)]


def edited(words: list[str], share: float, *, seed: int) -> str:
    """The text with that share of its words replaced, anywhere."""
    chance, words = random.Random(seed), list(words)
    for place in chance.sample(range(len(words)), int(share * len(words))):
        words[place] = f"new{chance.randrange(10_000)}"
    return " ".join(words)


def jaccard(one: str, other: str) -> float:
    """The true value that `similarity` estimates."""
    left, right = (set(zip(text.split(), text.split()[1:], strict=False)) for text in (one, other))
    return len(left & right) / len(left | right)


def test_a_signature_never_changes() -> None:
    assert signature(CANONICAL)[:8].hex() == "29be259ee12d38f9"
    assert bands(signature(CANONICAL))[:2] == (1507662714, -1009649215)


def test_another_process_makes_the_same_signature() -> None:
    program = f"from ingest.duplicates import signature; print(signature({CANONICAL!r}).hex())"
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == signature(CANONICAL).hex()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5])
def test_similarity_is_that_of_the_runs_of_words(share: float) -> None:
    for seed in range(20):
        words = made_up(seed)
        one, other = " ".join(words), edited(words, share, seed=seed)
        estimate = similarity(signature(one), signature(other))
        assert estimate == pytest.approx(jaccard(one, other), abs=0.18)  # four sigma


def test_a_text_with_a_tenth_of_its_words_changed_is_found_by_its_bands() -> None:
    for seed in range(50):
        words = made_up(seed)
        one, other = signature(" ".join(words)), signature(edited(words, 0.1, seed=seed))
        assert similarity(one, other) >= ALIKE
        assert any(left == right for left, right in zip(bands(one), bands(other), strict=True))


def test_other_texts_are_neither_alike_nor_found() -> None:
    signatures = [signature(f"{' '.join(made_up(seed))} {seed}") for seed in range(60)]
    pairs = [(one, other) for place, one in enumerate(signatures) for other in signatures[:place]]
    assert max(similarity(one, other) for one, other in pairs) < ALIKE
    met = sum(any(a == b for a, b in zip(bands(one), bands(other), strict=True)) for one, other in pairs)
    assert met < 0.02 * len(pairs)


def test_changed_dates_leave_a_notice_alike() -> None:
    notice = (
        "The office in {city} is closed from {a} to {b} for the yearly inventory. Deliveries are taken at "
        "the gate until noon. Whoever needs the archive asks the porter, who keeps the keys in these days. "
        "Orders that come in after {a} are sent out on the first working day after {b}, without extra cost."
    )
    one = signature(notice.format(city="Lyon", a="2 January", b="9 January"))
    other = signature(notice.format(city="Lyon", a="3 March", b="11 March"))
    assert similarity(one, other) >= ALIKE


@pytest.mark.parametrize("other", ["a  B, c\n\nD é", "A b c d é", "“a” (b) c—d e\u0301"])
def test_case_space_and_punctuation_do_not_count(other: str) -> None:
    assert signature(other) == signature("a b c d é")


def test_word_order_and_single_letters_count() -> None:
    assert signature("the dog bites the man") != signature("the man bites the dog")
    assert signature("ab") != signature("ba")
    assert signature("a" * 80 + "b") != signature("a" * 80 + "c")


def test_text_without_spaces_is_compared_letter_by_letter() -> None:
    text = "東京都は日本の首都であり世界最大級の都市の一つである。人口は千四百万人を超えている。"
    changed = text.replace("千四百万", "千三百万")
    assert similarity(signature(text), signature(changed)) >= 0.7


@pytest.mark.parametrize("text", ["", "   \n", "… — !"])
def test_a_text_without_words_is_like_nothing(text: str) -> None:
    assert signature(text) == b""
    assert bands(signature(text)) == ()
    assert similarity(signature(text), signature(text)) == 0.0


@given(st.text())
def test_every_text_has_a_signature_of_one_size(text: str) -> None:
    made = signature(text)
    assert len(made) in (0, 2 * HASHES)
    assert len(bands(made)) in (0, BANDS)
    assert all(-(2**31) <= key < 2**31 for key in bands(made))
    assert not made or similarity(made, made) == 1.0
