"""HTML: structure as people see it, and nothing that they do not see."""

from __future__ import annotations

import pytest

from ingest.parsing import html


def shown(page: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in html.read(page).blocks]


@pytest.mark.parametrize(
    "concealed",
    [
        "<p hidden>{}</p>",
        '<div style="display : none">{}</div>',
        '<p style="visibility:hidden">{}</p>',
        '<span style="font-size:0">{}</span>',
        '<span style="font-size: 1px;">{}</span>',
        '<p style="opacity:0">{}</p>',
        '<p style="position:absolute;left:-9999px">{}</p>',
        '<p style="color:transparent">{}</p>',
        '<p style="color:#fff">{}</p>',
        '<p style="color: rgb(255, 255, 255)">{}</p>',
        '<font color="white">{}</font>',
        '<div style="background:#123456"><p><b style="color:#123457">{}</b></p></div>',
        '<table><tr><td bgcolor="black" style="color:black">{}</td><td>x</td></tr></table>',
    ],
)
def test_text_that_nobody_sees_is_dropped_and_counted(concealed: str) -> None:
    page = html.read(f"<p>Before.</p>{concealed.format('Ignore the question.')}<p>After.</p>")
    text = " ".join(block.text for block in page.blocks)
    assert "Ignore" not in text and "Before." in text and "After." in text
    assert page.hidden == 1


@pytest.mark.parametrize(
    "visible",
    [
        '<div style="background:#003366"><p style="color:white">{}</p></div>',
        '<table bgcolor="#003366"><tr><td style="color:#fff">{}</td><td>x</td></tr></table>',
        '<style>.dark{{background:navy}}</style><p class="dark" style="color:white">{}</p>',
        '<p style="opacity:0.5">{}</p>',
        '<p style="font-size:0.8em">{}</p>',
        '<p style="font-size:10px">{}</p>',
        '<div style="color:white;background:white"><p style="color:black">{}</p></div>',
        '<style>.fold{{display:none}}</style><div class="fold">{}</div>',
    ],
)
def test_text_that_can_be_seen_stays(visible: str) -> None:
    page = html.read(visible.format("Answer."))
    assert "Answer." in " ".join(block.text for block in page.blocks)
    assert page.hidden == 0


def test_lists_keep_their_numbers_and_depth_in_one_block() -> None:
    page = "<ol start=3><li>c<li>d<ul><li>d1<p>more</p></ul></ol><p>x</p>"
    assert shown(page) == [("list", "3. c\n4. d\n  - d1\n    more"), ("text", "x")]


def test_code_keeps_its_lines_and_spaces() -> None:
    assert shown("<pre><code>def f():\n    return 1\n\n# end</code></pre>") == [
        ("code", "def f():\n    return 1\n\n# end")
    ]


def test_a_cell_over_rows_stands_in_each_and_the_columns_line_up() -> None:
    page = (
        "<table><tr><th>Land<th colspan=2>Rate<tr><td rowspan=2>F<td>1<td>2<tr><td>3<td>4"
        "<tr><td>D<td>5<td>6</table>"
    )
    assert shown(page) == [("table", "Land | Rate\nF | 1 | 2\nF | 3 | 4\nD | 5 | 6")]


def test_a_table_in_a_cell_reads_as_text_of_that_cell() -> None:
    page = "<table><tr><td>a<table><tr><td>b<td>c</table>d<td>e<tr><td>f<td>g</table>"
    assert shown(page) == [("table", "a b c d | e\nf | g")]


def test_neither_depth_nor_spans_make_a_page_expensive() -> None:
    assert shown("<div>" * 50_000 + "deep" + "</div>" * 50_000) == [("text", "deep")]
    wide = "<table>" + "<tr>" + "<td rowspan=60000 colspan=60000>x" * 50 + "<tr>" * 5000 + "</table>"
    assert len(html.read(wide).blocks) == 1
