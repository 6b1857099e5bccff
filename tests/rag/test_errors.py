import pytest

from rag import errors
from rag.errors import RagError, WorkerError, by_name, from_wire, to_wire

OURS = {name: error for name, error in by_name().items() if error.__module__ == "rag.errors"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_error_crosses_a_pipe_as_itself(name: str) -> None:
    restored = from_wire(to_wire(OURS[name]("what happened")))
    assert (type(restored), restored.message) == (OURS[name], "what happened")


def test_what_is_not_ours_crosses_as_a_worker_error_with_its_type_named() -> None:
    restored = from_wire(to_wire(ZeroDivisionError("division by zero")))
    assert type(restored) is WorkerError
    assert str(restored) == "ZeroDivisionError: division by zero"


def test_the_drawn_tree_holds_every_error_with_its_status() -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = {words[0]: words[1] for line in lines if len(words := line.strip("│├└─ ").split()) > 2}
    for name, error in OURS.items():
        if error is not RagError:
            assert drawn.get(name) == str(error.status), name
