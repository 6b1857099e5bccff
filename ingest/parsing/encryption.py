"""Opens Office files that a password protects, old and new, with the passwords at hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import msoffcrypto
from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError

from rag.errors import Damaged, NeedsPassword, Unsupported

# What the library raises for damaged files; it checks much with assertions.
BROKEN = (
    *(FileFormatError, ParseError, struct.error, AssertionError),
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError),
)
# Excel encrypts read-only workbooks with this word and opens them without asking.
EXCEL_OWN = "VelvetSweatshop"


def opened(data: bytes, passwords: Sequence[str] = ()) -> bytes:
    """The file without its encryption, if it has any. Raises NeedsPassword, Damaged or Unsupported."""
    try:
        file = msoffcrypto.OfficeFile(io.BytesIO(data))
        if not file.is_encrypted():
            return data
    except BROKEN:
        return data  # whoever reads the format says what is wrong with it
    verify = {"verify_password": True} if file.format == "ooxml" else {}  # the older ones always do
    for password in (*passwords, EXCEL_OWN):
        plain = io.BytesIO()
        try:
            file.load_key(password=password, **verify)
            file.decrypt(plain)
            return plain.getvalue()
        except InvalidKeyError:
            continue
        except DecryptionError as error:
            raise Unsupported(f"the document is encrypted in a way that cannot be opened: {error}") from None
        except BROKEN as error:
            raise Damaged(f"the encrypted document cannot be read: {type(error).__name__}") from None
    raise NeedsPassword(needed(passwords))


def needed(passwords: Sequence[str]) -> str:
    """What to tell about a document that none of these passwords opens."""
    tried = f"none of the {len(passwords)} passwords of ingest.passwords opens it" if passwords else ""
    return f"the document is encrypted; {tried or 'put its password into ingest.passwords'}"
