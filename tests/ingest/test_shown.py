"""Names as the feeding commands print them: they are what others chose to call their files."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.table import Table

from ingest.commands.show import cell, show
from ingest.jobs import Summary


def test_a_name_is_neither_markup_nor_emoji_nor_an_order_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("name", box=None)
    table.add_row(cell("a:x:[b]\x1b[2J.txt"))
    Console(width=80).print(table)
    assert "a:x:[b]?[2J.txt" in capsys.readouterr().out
    show(Summary(quarantined=(("a\x1b[2J.pdf", "the file is empty"),)))
    assert "quarantined a?[2J.pdf: the file is empty" in capsys.readouterr().err
