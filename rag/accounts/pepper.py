"""The secret of a home: digests of keys and links of the audit chain cannot be made without it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from rag.durable import write_whole
from rag.errors import SettingsError

FILE = "pepper"
BYTES = 32


class Pepper:
    """Digests under the secret of a home. Each purpose has a key of its own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, home: Path) -> Pepper:
        """The secret in home/pepper, made at the first call; readable by its owner only.

        Raises SettingsError when the file is not one of ours, or cannot be written. Without it every key has
        to be made anew.
        """
        file = home / FILE
        if not file.exists():
            try:
                write_whole(file, secrets.token_bytes(BYTES), keep_first=True)
            except OSError as error:
                raise SettingsError(
                    f"{file} cannot be written ({error.strerror}): free space, or choose another home"
                ) from None
        secret = file.read_bytes()
        if len(secret) != BYTES:
            raise SettingsError(f"{file} holds {len(secret)} bytes, not {BYTES}: restore it from a backup")
        return cls(secret)

    def digest(self, purpose: str, *parts: bytes) -> str:
        """HMAC-SHA-256 over the parts, in hex."""
        key = hmac.digest(self._secret, purpose.encode(), "sha256")
        made = hmac.new(key, digestmod=hashlib.sha256)
        for part in parts:
            made.update(len(part).to_bytes(8))
            made.update(part)
        return made.hexdigest()
