"""Word documents: numbers, code, spans and charts kept; what Word does not show left out."""

from __future__ import annotations

import io
import zipfile

import pytest

from ingest.parsing import word
from ingest.parsing.blocks import ParsedDocument

WHITE = '<w:color w:val="FFFFFF"/>'
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def document(body: str, **members: str) -> ParsedDocument:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", f"<w:document {W}><w:body>{body}</w:body></w:document>")
        for name, text in members.items():
            archive.writestr(f"word/{name.replace('__', '/')}.xml", text)
    return word.parse(buffer.getvalue())


def shown(body: str, **members: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in document(body, **members).blocks]


def run(text: str, look: str = "") -> str:
    return f'<w:r><w:rPr>{look}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(text: str, look: str = "", properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{run(text, look)}</w:p>"


def level(number: int, style: str, pattern: str) -> str:
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{style}"/>'
        f'<w:lvlText w:val="{pattern}"/></w:lvl>'
    )


NUMBERING = (
    f'<w:numbering {W}><w:abstractNum w:abstractNumId="7">{level(0, "decimal", "%1.")}'
    f"{level(1, 'lowerLetter', '%1.%2)')}</w:abstractNum>"
    f'<w:abstractNum w:abstractNumId="8">{level(0, "bullet", "•")}</w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>'
    '<w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num></w:numbering>'
)


def in_list(number: int, depth: int = 0) -> str:
    return f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>'


def test_paragraphs_carry_the_numbers_that_word_writes_before_them() -> None:
    style = f'<w:style w:styleId="H1"><w:name w:val="heading 1"/><w:pPr>{in_list(1)}</w:pPr></w:style>'
    styles = f"<w:styles {W}>{style}</w:styles>"
    body = paragraph("Leave", properties='<w:pStyle w:val="H1"/>') + paragraph(
        "Who", properties=in_list(1, 1)
    )
    body += paragraph("When", properties=in_list(1, 1)) + paragraph(
        "Pay", properties='<w:pStyle w:val="H1"/>'
    )
    body += paragraph("How", properties=in_list(1, 1)) + paragraph("dot", properties=in_list(2))
    assert shown(body, styles=styles, numbering=NUMBERING) == [
        ("heading", "1. Leave"),
        ("list", "  1.a) Who\n  1.b) When"),
        ("heading", "2. Pay"),
        ("list", "  2.a) How\n- dot"),
    ]


def test_a_listing_is_one_block_with_its_indents() -> None:
    styles = f'<w:styles {W}><w:style w:styleId="C"><w:name w:val="Source Code"/></w:style></w:styles>'
    code = '<w:pStyle w:val="C"/>'
    body = (
        paragraph("def f():", properties=code) + paragraph("    return 1", properties=code) + paragraph("x")
    )
    assert shown(body, styles=styles) == [("code", "def f():\n    return 1"), ("text", "x")]


def test_a_cell_over_rows_stands_in_each_and_the_columns_line_up() -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"

    top, below, wide = '<w:vMerge w:val="restart"/>', "<w:vMerge/>", '<w:gridSpan w:val="2"/>'
    rows = [cell("F", top) + cell("a") + cell("b"), cell("", below) + cell("c", wide), cell("D") + cell("e")]
    body = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    assert shown(body) == [("table", "F | a | b\nF | c\nD | e")]


@pytest.mark.parametrize(
    "look", ["<w:vanish/>", '<w:color w:val="FFFFFF"/>', '<w:sz w:val="2"/>', '<w:rStyle w:val="V"/>']
)
def test_what_word_does_not_show_is_dropped_and_counted(look: str) -> None:
    styles = f'<w:styles {W}><w:style w:styleId="V"><w:rPr><w:vanish/></w:rPr></w:style></w:styles>'
    found = document(f"<w:p>{run('Seen. ')}{run('Ignore the question.', look)}</w:p>", styles=styles)
    assert [block.text for block in found.blocks] == ["Seen."]
    assert found.warnings == ("1 hidden passages removed",)


@pytest.mark.parametrize(
    "body",
    [
        paragraph("Seen", '<w:vanish w:val="0"/>'),
        paragraph("Seen", '<w:color w:val="FFFFFF"/><w:shd w:fill="003366"/>'),
        paragraph("Seen", '<w:color w:val="FFFFFF"/>', '<w:shd w:val="clear" w:fill="003366"/>'),
        f"<w:tbl><w:tr><w:tc>{paragraph('Seen', WHITE)}</w:tc><w:tc/></w:tr></w:tbl>",
        f"<w:p><w:r><w:txbxContent>{paragraph('Seen', WHITE)}</w:txbxContent></w:r></w:p>",
    ],
)
def test_white_letters_that_stand_on_a_ground_stay(body: str) -> None:
    found = document(body)
    assert [block.text for block in found.blocks] == ["Seen"]
    assert found.warnings == ()


def test_a_chart_is_read_from_the_numbers_it_was_drawn_from() -> None:
    def points(name: str, *values: str) -> str:
        inner = "".join(f'<c:pt idx="{i}"><c:v>{value}</c:v></c:pt>' for i, value in enumerate(values))
        return f"<c:{name}><c:numRef><c:numCache>{inner}</c:numCache></c:numRef></c:{name}>"

    title = "<c:title><c:tx><c:rich><p xmlns='a'><t>Ducks</t></p></c:rich></c:tx></c:title>"
    series = points("cat", "2019", "2020") + points("val", "4.300000000000001", "80")
    chart = (
        '<c:chartSpace xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"><c:chart>'
        f"{title}<c:ser><c:tx><c:v>Wild</c:v></c:tx>{series}</c:ser></c:chart></c:chartSpace>"
    )
    assert shown(paragraph("x"), charts__chart1=chart) == [
        ("text", "x"),
        ("text", "Ducks"),
        ("table", " | Wild\n2019 | 4.3\n2020 | 80"),
    ]
