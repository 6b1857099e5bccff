"""Mail as Outlook saves it (msg), through oxmsg."""

from __future__ import annotations

import io
import struct

from oxmsg import Message

from ingest.parsing import mail
from ingest.parsing.archive import clean_name
from ingest.parsing.blocks import Block, ParsedDocument, Part
from ingest.parsing.visibility import warning
from rag.errors import Damaged, NeedsPassword


def parse(data: bytes) -> ParsedDocument:
    """Headers and body, the attachments as parts. Raises Damaged or NeedsPassword."""
    try:
        message = Message.load(io.BytesIO(data))
        headers = message.message_headers
        html_body = (message.html_body or "").strip()
        text, subject = message.body or "", message.subject or ""
        attached = [(each.file_name or "", each.file_bytes or b"") for each in message.attachments]
        sender = message.sender or headers.get("From", "")
        to = ", ".join(each.email_address for each in message.recipients) or headers.get("To", "")
        sent = str(message.sent_date or "")
        kind = (message.message_class or "").lower()
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, struct.error) as error:
        raise Damaged(f"the Outlook message cannot be read: {type(error).__name__}") from None
    names = [name for name, _ in attached if name]
    if "smime" in kind or any(name.endswith(".p7m") for name in names):
        raise NeedsPassword("the mail is encrypted")
    head = {"From": sender, "To": to, "Date": sent, "Subject": subject}
    said = mail.body(html_body or text, is_html=bool(html_body))
    blocks = [Block("heading", subject, level=1)] if subject else []
    blocks.append(Block("text", "\n".join(f"{name}: {value}" for name, value in head.items() if value)))
    blocks += said.blocks
    if names:
        blocks.append(Block("text", "Attachments: " + ", ".join(names)))
    parts = tuple(Part(clean_name(name), content) for name, content in attached if name and content)
    warnings = warning(said.hidden)
    return ParsedDocument(tuple(blocks), title=subject, parts=parts, warnings=warnings)
