"""Mail as it is sent: eml, mailboxes, and web pages saved as mail. Attachments are documents of their own."""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from collections.abc import Iterable
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser

from ingest.parsing import html
from ingest.parsing import text as plain
from ingest.parsing.archive import Collection, clean_name
from ingest.parsing.blocks import Block, ParsedDocument, Part
from ingest.parsing.encoding import decode
from ingest.parsing.visibility import warning
from rag.errors import Damaged, LimitExceeded, NeedsPassword, NoText

SHOWN = ("From", "To", "Cc", "Date", "Subject")
MAX_DEPTH = 10
MAX_MAILS = 100_000
ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")
SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
# A line that starts a mail in a mailbox; one within a mail is written with a > before it.
POSTMARK = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From \S+ [^\n]*\d:\d\d[^\n]*\n")

LINK = re.compile(r"(?:https?|mailto|cid|tel):[^\s<>\"\])]*", re.IGNORECASE)


def parse(data: bytes) -> ParsedDocument:
    """A mail and the mails forwarded in it, down to a depth of ten. Raises NeedsPassword or NoText."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        reader = Reader()
        reader.mail(message, 0)
    except RecursionError:
        raise Damaged("the mail is nested too deeply") from None
    if not any(block.kind != "heading" for block in reader.blocks) and not header(message, "Subject"):
        raise NoText("the mail has neither subject nor body")
    return ParsedDocument(
        tuple(reader.blocks),
        title=header(message, "Subject"),
        parts=tuple(reader.parts),
        warnings=warning(reader.hidden),
    )


class Reader:
    """Collects blocks and attachments of a mail: what it says about itself, its body, what is attached."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.parts: list[Part] = []
        self.hidden = 0
        self._attached: list[str] = []

    def mail(self, message: Message, depth: int) -> None:
        head = [f"{name}: {value}" for name in SHOWN if (value := header(message, name))]
        if subject := header(message, "Subject"):
            self.blocks.append(Block("heading", subject, level=min(6, depth + 1)))
        if head:
            self.blocks.append(Block("text", "\n".join(head)))
        outer, self._attached = self._attached, []
        self._body(message, depth)
        if self._attached:
            self.blocks.append(Block("text", "Attachments: " + ", ".join(self._attached)))
        self._attached = outer

    def _body(self, part: Message, depth: int, *, related: bool = False) -> None:
        """A part and the parts in it; of alternatives the one that readers are shown."""
        kind = part.get_content_type()
        if kind in ENCRYPTED:
            raise NeedsPassword("the mail is encrypted")
        if depth > MAX_DEPTH:
            return
        name = part.get_filename()
        if name and (part.get_content_disposition() == "attachment" or not kind.startswith("text/")):
            self._attach(part, " ".join(str(name).split()), related=related)
        elif kind == "message/rfc822":
            for inner in payload(part):
                self.mail(inner, depth + 1)
        elif kind == "multipart/alternative":
            for each in best(payload(part)):
                self._body(each, depth + 1)
        elif part.is_multipart():
            for each in payload(part):
                self._body(each, depth + 1, related=kind == "multipart/related")
        elif kind.startswith("text/"):
            said = body(content(part), is_html=kind == "text/html")
            self.blocks += said.blocks
            self.hidden += said.hidden

    def _attach(self, part: Message, name: str, *, related: bool) -> None:
        self._attached.append(name)
        kind = part.get_content_type()
        # A picture within the page is a logo far more often than a document.
        within = kind.startswith("image/") and (related or part.get_content_disposition() != "attachment")
        data = original(part)
        if data and not within and kind not in SIGNATURES:
            self.parts.append(Part(clean_name(name), data))


def body(text: str, *, is_html: bool) -> html.Page:
    """What a body says. Raises NeedsPassword for cipher text."""
    if text.lstrip().startswith("-----BEGIN PGP MESSAGE"):
        raise NeedsPassword("the mail is encrypted with PGP")
    if is_html:
        return html.read(text)
    return html.Page(list(plain.parse_text(text.encode("utf-8", "replace")).blocks))


def best(alternatives: list[Message]) -> list[Message]:
    """The alternative to read: the plain text if the page, which is what people see, says all of it too."""
    plains = [each for each in alternatives if each.get_content_type() == "text/plain" and content(each)]
    for each in reversed(alternatives):
        if each.is_multipart():
            return [each]
        if each.get_content_type() == "text/html" and (page := html.read(content(each)).blocks):
            shown = words(block.text for block in page)
            return [plain for plain in plains if words([content(plain)]) <= shown][:1] or [each]
    return plains[:1] or alternatives[-1:]


def words(texts: Iterable[str]) -> set[str]:
    """The words of texts, addresses of links and pictures left out."""
    return {word for text in texts for word in re.findall(r"[^\W_]+", LINK.sub(" ", text).lower())}


def payload(part: Message) -> list[Message]:
    inner = part.get_payload()
    return [each for each in inner if isinstance(each, Message)] if isinstance(inner, list) else []


def content(part: Message) -> str:
    """The text of a part, also when it lies about its encoding."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    return decode(data, declared=part.get_content_charset() or "") or ""


def original(part: Message) -> bytes:
    """The bytes of an attachment; of an attached mail, that mail."""
    if part.is_multipart():
        return b"".join(inner.as_bytes() for inner in payload(part)[:1])
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def header(message: Message, name: str) -> str:
    """A header as people read it; a broken one as it stands."""
    try:
        return " ".join(str(message.get(name, "") or "").split())
    except (ValueError, IndexError, TypeError, AttributeError):
        # The header parser of the standard library gives up on some malformed addresses.
        return " ".join(str(value) for key, value in message.raw_items() if key.lower() == name.lower())


def parse_mailbox(data: bytes) -> ParsedDocument:
    """Every mail of a mailbox as a part, named by its content, so that a new mail renames no other."""
    starts = [match.span() for match in POSTMARK.finditer(data)]
    if len(starts) > MAX_MAILS:
        raise LimitExceeded(f"the mailbox holds {len(starts)} mails, the limit is {MAX_MAILS}")
    ends = [start for start, _ in starts[1:]] + [len(data)]
    mails = Collection()
    headers: BytesHeaderParser[EmailMessage] = BytesHeaderParser(policy=email.policy.default)
    for (_, start), end in zip(starts, ends, strict=True):
        mail = re.sub(rb"(?m)^>(>*From )", rb"\1", data[start:end])
        subject = header(headers.parsebytes(mail[:20_000]), "Subject").replace("/", "-")[:80]
        digest = hashlib.sha256(mail).hexdigest()[:8]
        mails.take(f"{subject or 'mail'} ({digest}).eml", lambda mail=mail: mail)  # type: ignore[misc]
    return mails.document()


def parse_web_archive(data: bytes) -> ParsedDocument:
    """The page in a web archive (mht): its first HTML part. Raises NoText when there is none."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() == "text/html" and (text := content(part)):
            return html.parse(text)
    raise NoText("the web archive holds no page")
