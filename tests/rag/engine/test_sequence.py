"""What two runs of tokens have in common."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.engine.generator import Terms
from rag.engine.sequence import Segment, Sequence, common_prefix

RUNS = st.lists(st.integers(0, 2), max_size=8)


@given(left=RUNS, right=RUNS)
def test_a_common_beginning_is_common_and_goes_no_further(left: list[int], right: list[int]) -> None:
    length = common_prefix(np.array(left, np.int32), np.array(right, np.int32))
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


def test_a_prompt_is_its_segments_in_order_as_a_list_and_as_an_array() -> None:
    sequence = Sequence([Segment([1, 2]), Segment([3], chunk=True), Segment([4])], 5, Terms())
    assert sequence.prompt == sequence.ids.tolist() == [1, 2, 3, 4]
    assert sequence.cells == 9
