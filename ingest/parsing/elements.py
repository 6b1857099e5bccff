"""The broad parser: PowerPoint, RTF, reStructuredText and Org through unstructured, made to work offline."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from rag.silence import silence

silence()

from ingest.parsing import tokenization  # noqa: E402

tokenization.register()

from unstructured.partition.org import partition_org  # noqa: E402
from unstructured.partition.pptx import partition_pptx  # noqa: E402
from unstructured.partition.rst import partition_rst  # noqa: E402
from unstructured.partition.rtf import partition_rtf  # noqa: E402

from ingest.parsing import html  # noqa: E402
from ingest.parsing import text as plain  # noqa: E402
from ingest.parsing.archive import check_zip  # noqa: E402
from ingest.parsing.blocks import Block, BlockKind, ParsedDocument  # noqa: E402
from ingest.parsing.detection import Format  # noqa: E402
from rag.errors import Damaged  # noqa: E402

PARTITIONERS: dict[Format, Callable[..., list[Any]]] = {
    Format.PPTX: partition_pptx,
    Format.RTF: partition_rtf,
    Format.RST: partition_rst,
    Format.ORG: partition_org,
}
KINDS: dict[str, BlockKind] = {
    "Title": "heading",
    "ListItem": "list",
    "CodeSnippet": "code",
    "Table": "table",
}
FURNITURE = {"Header", "Footer", "PageBreak", "PageNumber"}


def parse(data: bytes, kind: Format) -> ParsedDocument:
    """The elements that unstructured finds, as blocks. Raises Damaged, or LimitExceeded for a zip bomb."""
    if kind is Format.PPTX:
        check_zip(data)
    try:
        elements = PARTITIONERS[kind](file=io.BytesIO(data))
    except RuntimeError:
        if kind in (Format.RST, Format.ORG):
            return plain.parse_text(data)  # pandoc is strict about markup; the words are there all the same
        raise Damaged("the document cannot be converted") from None
    except (ValueError, KeyError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        # python-pptx has no error class of their own for a package that lacks parts.
        raise Damaged(f"the document cannot be read: {type(error).__name__}") from None
    except SyntaxError as error:
        raise Damaged(f"the XML in the document cannot be read: {error.msg}") from None
    pages = [element.metadata.page_number or 0 for element in elements]
    return ParsedDocument(tuple(html.merged_lists(list(blocks(elements)))), pages=max(pages, default=0))


def blocks(elements: list[Any]) -> Iterator[Block]:
    """One block per element; headers and footers are left out."""
    for element in elements:
        if element.category in FURNITURE or not element.text.strip():
            continue
        page = element.metadata.page_number or 0
        kind = KINDS.get(element.category, "text")
        if kind == "table":
            found = html.parse(element.metadata.text_as_html or "").blocks
            rows = [block for block in found if block.kind == "table"]
            if rows:
                yield from (Block("table", block.text, page=page, rows=block.rows) for block in rows)
            else:
                yield Block("text", element.text, page=page)
        elif kind == "heading":
            yield Block("heading", element.text, level=(element.metadata.category_depth or 0) + 1, page=page)
        elif kind == "list":
            yield Block("list", f"- {element.text}", page=page)
        else:
            yield Block(kind, element.text, page=page)
