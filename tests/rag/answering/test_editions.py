from rag.answering.editions import conflicts, outdated
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


def test_quarters_and_chapters_are_not_editions() -> None:
    assert not outdated([of("Q1 report"), of("Q2 report")], "What was earned?")
    assert not outdated([of("Chapter 1"), of("Chapter 2")], "What happens?")


def test_documents_of_other_names_or_without_numbers_are_left_alone() -> None:
    assert not outdated([of("Rates 2024"), of("Travel policy 2026")], "What is it?")
    assert not outdated([of("Travel policy"), of("Travel policy")], "What is it?")


def saying(title: str, text: str) -> Passage:
    return Passage(Chunk(f"chunk of {title}", 0, text), title, 1, title, f"/{title}", 0.5)


OLD = saying("Travel policy 2024", "From 1 January 2024 the per diem for a full day in Germany is 28 euros.")
NEW = saying("Travel policy 2026", "Since 1 January 2026 the per diem for a full day in Germany is 34 euros.")


def test_editions_that_disagree_are_a_conflict_with_both_numbers() -> None:
    (conflict,) = conflicts([OLD, NEW])
    assert (conflict.newer, conflict.older) == (NEW, OLD)
    assert (conflict.now, conflict.before) == (("34",), ("28",))


def test_editions_that_differ_only_in_their_year_agree() -> None:
    same = saying("Travel policy 2026", OLD.chunk.text.replace("2024", "2026"))
    assert conflicts([OLD, same]) == []


def test_other_rules_and_other_documents_do_not_disagree() -> None:
    trains = saying("Travel policy 2026", "Trains are booked in second class below 300 kilometres.")
    assert conflicts([OLD, trains]) == []
    assert conflicts([OLD, saying("Remote work 2026", NEW.chunk.text)]) == []
