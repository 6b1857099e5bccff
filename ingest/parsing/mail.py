"""Mail: eml through the standard library, msg through oxmsg. Headers, body, names of attachments."""

from __future__ import annotations

import email
import email.policy
import io
from collections.abc import Iterator
from email.message import Message

from oxmsg import Message as OutlookMessage

from ingest.parsing import html
from ingest.parsing import text as plain
from ingest.parsing.blocks import Block, ParsedDocument
from ingest.parsing.encoding import decode
from rag.errors import Damaged, NeedsPassword, NoText

SHOWN = ("From", "To", "Cc", "Date", "Subject")
MAX_DEPTH = 10
ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")


def parse(data: bytes) -> ParsedDocument:
    """A mail and the mails forwarded in it, down to a depth of ten. Raises NeedsPassword or NoText."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        blocks = list(read(message, 0))
    except RecursionError:
        raise Damaged("the mail is nested too deeply") from None
    if not any(block.kind != "heading" for block in blocks) and not header(message, "Subject"):
        raise NoText("the mail has neither subject nor body")
    return ParsedDocument(tuple(blocks), title=header(message, "Subject"))


def read(message: Message, depth: int) -> Iterator[Block]:
    """The blocks of one mail: what it says about itself, then its body, then what is attached."""
    head = [f"{name}: {value}" for name in SHOWN if (value := header(message, name))]
    if subject := header(message, "Subject"):
        yield Block("heading", subject, level=min(6, depth + 1))
    if head:
        yield Block("text", "\n".join(head))
    attached: list[str] = []
    yield from body(message, depth, attached)
    if attached:
        yield Block("text", "Attachments: " + ", ".join(attached))


def body(part: Message, depth: int, attached: list[str]) -> Iterator[Block]:
    """Blocks of a part and of the parts in it; of alternatives the plainest is read."""
    kind = part.get_content_type()
    if kind in ENCRYPTED:
        raise NeedsPassword("the mail is encrypted")
    if depth > MAX_DEPTH:
        return
    name = part.get_filename()
    if name and (part.get_content_disposition() == "attachment" or not kind.startswith("text/")):
        attached.append(" ".join(str(name).split()))
    elif kind == "message/rfc822":
        for inner in payload(part):
            yield from read(inner, depth + 1)
    elif kind == "multipart/alternative":
        choices = payload(part)
        plainest = [each for each in choices if each.get_content_type() == "text/plain" and content(each)]
        for each in plainest[:1] or choices[-1:]:
            yield from body(each, depth + 1, attached)
    elif part.is_multipart():
        for each in payload(part):
            yield from body(each, depth + 1, attached)
    elif kind.startswith("text/"):
        yield from said(content(part), is_html=kind == "text/html")


def said(text: str, *, is_html: bool) -> Iterator[Block]:
    """A body as blocks. Raises NeedsPassword for cipher text."""
    if text.lstrip().startswith("-----BEGIN PGP MESSAGE"):
        raise NeedsPassword("the mail is encrypted with PGP")
    if is_html:
        yield from html.parse(text).blocks
    else:
        yield from plain.parse_text(text.encode("utf-8", "replace")).blocks


def payload(part: Message) -> list[Message]:
    inner = part.get_payload()
    return [each for each in inner if isinstance(each, Message)] if isinstance(inner, list) else []


def content(part: Message) -> str:
    """The text of a part, also when it lies about its encoding."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    return decode(data, declared=part.get_content_charset() or "") or ""


def header(message: Message, name: str) -> str:
    """A header as people read it; a broken one as it stands."""
    try:
        return " ".join(str(message.get(name, "") or "").split())
    except (ValueError, IndexError, TypeError, AttributeError):
        # The header parser of the standard library gives up on some malformed addresses.
        return " ".join(str(value) for key, value in message.raw_items() if key.lower() == name.lower())


def parse_outlook(data: bytes) -> ParsedDocument:
    """A mail as Outlook saves it. Raises Damaged or NeedsPassword."""
    try:
        message = OutlookMessage.load(io.BytesIO(data))
        headers = message.message_headers
        html_body = message.html_body or ""
        text, subject = message.body or "", message.subject or ""
        attached = [name for each in message.attachments if (name := each.file_name)]
        sender = message.sender or headers.get("From", "")
        to = ", ".join(each.email_address for each in message.recipients) or headers.get("To", "")
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise Damaged(f"the Outlook message cannot be read: {type(error).__name__}") from None
    if "smime" in (message.message_class or "").lower() or any(name.endswith(".p7m") for name in attached):
        raise NeedsPassword("the mail is encrypted")
    head = {"From": sender, "To": to, "Date": str(message.sent_date or ""), "Subject": subject}
    blocks = [Block("heading", subject, level=1)] if subject else []
    blocks.append(Block("text", "\n".join(f"{name}: {value}" for name, value in head.items() if value)))
    blocks += said(text or html_body, is_html=not text)
    if attached:
        blocks.append(Block("text", "Attachments: " + ", ".join(attached)))
    return ParsedDocument(tuple(blocks), title=subject)
