"""How a child ends, and what is told of it; with children that really die."""

from __future__ import annotations

import sys

import pytest

from rag.throwaway import Ending, run


def python(code: str, **options: float) -> Ending:
    return run([sys.executable, "-c", code], **options)  # type: ignore[arg-type]


def test_what_a_child_writes_is_its_output() -> None:
    assert python("print('öl')") == Ending(0, "öl\n", "")


def test_a_child_that_gives_up_has_the_last_word() -> None:
    code = "import sys; print('one\\ntwo', file=sys.stderr); sys.exit('three')"
    assert python(code).why == "three"
    assert python(code, lines=2).why == "two three"


def test_a_child_without_a_word_is_told_by_its_status() -> None:
    assert python("import sys; sys.exit(7)").why == "exit status 7"


def test_a_signal_says_more_than_what_was_written_before_it() -> None:
    ending = python("import os, sys; print('fine', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)")
    assert (ending.status, ending.last_words, ending.why) == (-11, "fine", "SIGSEGV")


def test_a_child_that_hangs_is_given_up() -> None:
    with pytest.raises(TimeoutError, match=r"longer than 0\.2 s"):
        python("import time; time.sleep(60)", timeout_s=0.2)
