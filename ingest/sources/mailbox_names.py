"""Names of mail folders on the wire: the modified UTF-7 of RFC 3501, section 5.1.3."""

from __future__ import annotations

import base64
import re


def encoded(name: str) -> str:
    """A folder name in ASCII."""
    return re.sub(r"&|[^\x20-\x7e]+", shifted, name)


def decoded(name: bytes) -> str:
    """The readable folder name; one that is not valid stays as it is."""
    text = name.decode("utf-8", "replace")
    try:
        return re.sub(r"&([A-Za-z0-9+,]*)-", unshifted, text)
    except ValueError:
        return text


def shifted(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    packed = base64.b64encode(found[0].encode("utf-16-be")).decode("ascii")
    return f"&{packed.rstrip('=').replace('/', ',')}-"


def unshifted(found: re.Match[str]) -> str:
    if not found[1]:
        return "&"
    packed = found[1].replace(",", "/")
    return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode("utf-16-be")
