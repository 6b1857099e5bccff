"""What a file is, by its content. The extension decides only between kinds of plain text."""

from __future__ import annotations

import io
import re
import zipfile
from enum import StrEnum
from pathlib import PurePath

from ingest.parsing.encoding import decode
from rag.errors import Damaged, NeedsPassword, NoText, Unsupported


class Format(StrEnum):
    """The formats that are read."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    ODT = "application/vnd.oasis.opendocument.text"
    ODS = "application/vnd.oasis.opendocument.spreadsheet"
    ODP = "application/vnd.oasis.opendocument.presentation"
    EPUB = "application/epub+zip"
    XLS = "application/vnd.ms-excel"
    MSG = "application/vnd.ms-outlook"
    RTF = "application/rtf"
    HTML = "text/html"
    XML = "application/xml"
    JSON = "application/json"
    CSV = "text/csv"
    MARKDOWN = "text/markdown"
    RST = "text/x-rst"
    ORG = "text/org"
    VTT = "text/vtt"
    EML = "message/rfc822"
    TEXT = "text/plain"
    IMAGE = "image/*"


IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
BY_EXTENSION = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".rst": Format.RST,
    ".org": Format.ORG,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".tab": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".eml": Format.EML,
    ".htm": Format.HTML,
    ".html": Format.HTML,
    ".xhtml": Format.HTML,
}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAIL_HEADER = re.compile(
    r"(from|to|subject|date|received|return-path|mime-version|message-id|content-type|delivered-to|x-[\w-]+):",
    re.IGNORECASE,
)
HTML_START = re.compile(r"<(!doctype html|html|head|body|title|meta|table|div|p|h[1-6])\b", re.IGNORECASE)


def detect(data: bytes, name: str) -> Format:
    """The format of a file. Raises NoText, NeedsPassword, Damaged or Unsupported, each saying why."""
    extension = PurePath(name).suffix.lower()
    if not data.strip(b"\x00 \t\r\n"):
        raise NoText("the file is empty")
    if b"%PDF-" in data[:1024]:
        return Format.PDF
    if data.startswith(b"PK"):
        return inside_zip(data)
    if data.startswith(OLE):
        return inside_ole(data)
    if data.startswith(b"{\\rtf"):
        return Format.RTF
    if data.startswith(IMAGES) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return Format.IMAGE
    if extension in {".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub"} and b"\x00" in data:
        raise Damaged(f"the file is called {extension} but does not start like one")
    text = decode(data[:65536], partial=True)
    if text is None:
        raise Unsupported("binary data of an unknown kind")
    return plain(text, extension)


def plain(text: str, extension: str) -> Format:
    """Which kind of text it is."""
    start = text.lstrip("\ufeff \t\r\n")[:2000]
    if start.startswith("WEBVTT"):
        return Format.VTT
    if HTML_START.match(re.sub(r"^(<\?xml[^>]*>|<!--.*?-->|\s)+", "", start, flags=re.DOTALL)):
        return Format.HTML
    if start.startswith("<?xml") or (start.startswith("<") and extension in {".xml", ".fb2", ".svg"}):
        return Format.XML
    # A mail starts with headers; a note that begins "To: all" has no second one.
    lines = [line for line in start.splitlines()[:30] if not line.startswith((" ", "\t"))]
    if MAIL_HEADER.match(start) and (
        extension == ".eml" or sum(1 for line in lines if MAIL_HEADER.match(line)) >= 3
    ):
        return Format.EML
    if extension in BY_EXTENSION:
        return BY_EXTENSION[extension]
    if start.startswith(("{", "[{")):
        return Format.JSON
    return Format.TEXT


def inside_zip(data: bytes) -> Format:
    """Which of the formats that are zip files it is."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = set(archive.namelist())
        encrypted = any(member.flag_bits & 1 for member in archive.infolist())
        kind = (
            archive.read("mimetype")[:100].decode("ascii", "replace").strip() if "mimetype" in names else ""
        )
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise Damaged(f"the zip container cannot be read: {error}") from None
    if kind in {Format.ODT, Format.ODS, Format.ODP, Format.EPUB}:
        if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise NeedsPassword("the document is encrypted; remove the password and ingest it again")
        return Format(kind)
    for member, found in (
        ("word/document.xml", Format.DOCX),
        ("xl/workbook.xml", Format.XLSX),
        ("xl/workbook.bin", Format.XLSX),
        ("ppt/presentation.xml", Format.PPTX),
        ("META-INF/container.xml", Format.EPUB),
    ):
        if member in names:
            return found
    if encrypted:
        raise NeedsPassword("the archive is encrypted")
    if any(name.startswith("Index/") or name == "Index.zip" for name in names):
        raise Unsupported("an Apple iWork document: export it as PDF or Office first")
    raise Unsupported("a zip archive: unpack it and ingest the folder")


def inside_ole(data: bytes) -> Format:
    """Which of the formats of Office 97 it is, by the names of its streams."""

    def has(stream: str) -> bool:
        return stream.encode("utf-16-le") in data

    if has("EncryptedPackage") or has("EncryptionInfo"):
        raise NeedsPassword("the document is encrypted; remove the password and ingest it again")
    if has("__properties_version1.0"):
        return Format.MSG
    if has("Workbook") or has("Book"):
        return Format.XLS
    if has("WordDocument"):
        raise Unsupported("a Word 97 document needs LibreOffice: save it as .docx")
    if has("PowerPoint Document"):
        raise Unsupported("a PowerPoint 97 presentation needs LibreOffice: save it as .pptx")
    raise Unsupported("an OLE container of an unknown kind")
