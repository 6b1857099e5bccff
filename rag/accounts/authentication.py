"""Who a request comes from: the one place where a caller proves it."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers

from rag.errors import Unauthorised
from rag.settings import ServerSettings
from rag.types import Principal


class Authentication:
    """Turns what a request shows into a principal.

    Without `server.api_key` every caller is the owner of the home: such a server is bound to this machine.
    """

    def __init__(self, settings: ServerSettings, owner: Principal) -> None:
        self._settings, self._owner = settings, owner

    async def principal(self, headers: Headers) -> Principal:
        """Who asks. Raises Unauthorised."""
        if not self._settings.api_key:
            return self._owner
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            key.strip().encode(), self._settings.api_key.encode()
        ):
            raise Unauthorised(
                "send the server's key as 'Authorization: Bearer KEY' (setting server.api_key)"
            )
        return self._owner
