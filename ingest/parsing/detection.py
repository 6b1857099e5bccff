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
    DOC = "application/msword"
    XLS = "application/vnd.ms-excel"
    PPT = "application/vnd.ms-powerpoint"
    MSG = "application/vnd.ms-outlook"
    ENCRYPTED = "application/encrypted"
    RTF = "application/rtf"
    HTML = "text/html"
    MHTML = "multipart/related"
    XML = "application/xml"
    FB2 = "application/x-fictionbook+xml"
    JSON = "application/json"
    CSV = "text/csv"
    MARKDOWN = "text/markdown"
    RST = "text/x-rst"
    ORG = "text/org"
    VTT = "text/vtt"
    EML = "message/rfc822"
    MBOX = "application/mbox"
    TEXT = "text/plain"
    IMAGE = "image/*"
    ZIP = "application/zip"
    TAR = "application/x-tar"


IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
COMPRESSED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00")
FOREIGN = {
    b"Rar!\x1a\x07": "a RAR archive: unpack it and ingest the folder",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it and ingest the folder",
    b"\x28\xb5\x2f\xfd": "data compressed with zstd: unpack it and ingest the folder",
    b"!BDN": "an Outlook data file (pst): export its mails as eml or mbox",
}
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
PACKAGES = {".pdf", ".doc", ".xls", ".ppt", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub"}
INSIDE_ZIP = (
    ("word/document.xml", Format.DOCX),
    ("word/document2.xml", Format.DOCX),
    ("xl/workbook.xml", Format.XLSX),
    ("xl/workbook.bin", Format.XLSX),
    ("ppt/presentation.xml", Format.PPTX),
    ("META-INF/container.xml", Format.EPUB),
)
APPLE = {"Index.zip", ".iwpv2", "index.apxl", "buildVersionHistory.plist"}
INSIDE_OLE = (
    ("EncryptedPackage", Format.ENCRYPTED),
    ("__properties_version1.0", Format.MSG),
    ("WordDocument", Format.DOC),
    ("PowerPoint Document", Format.PPT),
    ("Workbook", Format.XLS),
    ("Book", Format.XLS),
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAIL_HEADER = re.compile(
    r"(from|to|subject|date|received|return-path|mime-version|message-id|content-type|delivered-to|x-[\w-]+):",
    re.IGNORECASE,
)
WEB_ARCHIVE = re.compile(r"^(?:content-type:\s*multipart/related\b|snapshot-content-location:)", re.I | re.M)
MAILBOX = re.compile(r"From \S+ .*\d\d:\d\d.*\n>?[A-Za-z-]+:")
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
    if data.startswith(COMPRESSED) or data[257:262] == b"ustar":
        return Format.TAR
    for magic, reason in FOREIGN.items():
        if data.startswith(magic):
            raise Unsupported(reason)
    if extension in PACKAGES and b"\x00" in data:
        raise Damaged(f"the file is called {extension} but does not start like one")
    text = decode(data[:65536], partial=True)
    if text is None:
        raise Unsupported("binary data of an unknown kind")
    return plain(text, extension)


def plain(text: str, extension: str) -> Format:
    """Which kind of text it is."""
    start = text.lstrip("\ufeff \t\r\n")[:4000].replace("\r\n", "\n")
    if start.startswith("WEBVTT"):
        return Format.VTT
    if HTML_START.match(re.sub(r"^(<\?xml[^>]*>|<!--.*?-->|\s)+", "", start, flags=re.DOTALL)):
        return Format.HTML
    if "<FictionBook" in start:
        return Format.FB2
    if start.startswith("<?xml") or (start.startswith("<") and extension in {".xml", ".svg"}):
        return Format.XML
    if MAILBOX.match(start):
        return Format.MBOX
    if looks_like_mail(start, extension):
        head = re.sub(r"\n[ \t]+", " ", start).partition("\n\n")[0]
        return Format.MHTML if WEB_ARCHIVE.search(head) and "text/html" in start else Format.EML
    if extension in BY_EXTENSION:
        return BY_EXTENSION[extension]
    if start.startswith(("{", "[{")):
        return Format.JSON
    return Format.TEXT


def looks_like_mail(start: str, extension: str) -> bool:
    """A mail starts with headers; a note that begins "To: all" has no second one."""
    lines = [line for line in start.split("\n")[:30] if not line.startswith((" ", "\t"))]
    headers = sum(1 for line in lines if MAIL_HEADER.match(line))
    return MAIL_HEADER.match(start) is not None and (headers >= 3 or extension in (".eml", ".mht", ".mhtml"))


def inside_zip(data: bytes) -> Format:
    """Which of the formats that are zip files it is."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = set(archive.namelist())
        kind = ""
        if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
            kind = archive.read("mimetype").decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise Damaged(f"the zip container cannot be read: {error}") from None
    kind = kind.removesuffix("-template")
    if kind in (Format.ODT, Format.ODS, Format.ODP, Format.EPUB):
        if is_encrypted_odf(archive, names):
            raise NeedsPassword("the document is encrypted; remove the password and ingest it again")
        return Format(kind)
    for member, found in INSIDE_ZIP:
        if member in names:
            return found
    if any(name.startswith("Index/") or name in APPLE for name in names):
        raise Unsupported("an Apple iWork document: export it as PDF or Office first")
    return Format.ZIP


def is_encrypted_odf(archive: zipfile.ZipFile, names: set[str]) -> bool:
    """Whether the manifest of an OpenDocument names encrypted members."""
    manifest = "META-INF/manifest.xml"
    if manifest not in names or archive.getinfo(manifest).file_size > 10_000_000:
        return False
    return b"encryption-data" in archive.read(manifest)


def inside_ole(data: bytes) -> Format:
    """Which of the formats of Office 97 it is, by the streams in its root."""
    import olefile  # named here: few files are OLE containers

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            for stream, found in INSIDE_OLE:
                if container.exists(stream):
                    return found
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise Damaged(f"the OLE container cannot be read: {error}") from None
    raise Unsupported("an OLE container of an unknown kind")
