from rag.answering.editions import outdated
from rag.types import Chunk, Passage


def of(title: str) -> Passage:
    return Passage(Chunk(f"chunk of {title}", 0, "text"), title, 1, title, f"/{title}", 0.5)


def test_the_older_of_two_editions_is_outdated() -> None:
    passages = [of("Travel policy 2024"), of("Travel policy 2026"), of("Remote work")]
    assert outdated(passages, "What is the per diem?") == {"Travel policy 2024"}


def test_versions_are_compared_as_numbers_not_as_text() -> None:
    assert outdated([of("Manual v1.9"), of("Manual v1.10")], "How?") == {"Manual v1.9"}


def test_a_question_that_names_the_edition_gets_it() -> None:
    assert not outdated([of("Travel policy 2024"), of("Travel policy 2026")], "What was it in 2024?")


def test_documents_of_other_names_or_without_numbers_are_left_alone() -> None:
    assert not outdated([of("Rates 2024"), of("Travel policy 2026")], "What is it?")
    assert not outdated([of("Travel policy"), of("Travel policy")], "What is it?")
