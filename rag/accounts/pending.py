"""A sign-in that has begun: what the browser keeps of it until the provider sends it back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass

from rag.accounts.pepper import Pepper
from rag.errors import Unauthorised

LASTS_S = 600.0  # for typing a password and a second factor
ELSEWHERE = "this sign-in did not begin in this browser, or is over; begin again"


@dataclass(frozen=True, slots=True)
class Pending:
    """What must come back, and what proves that it is ours. `until`: seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    redirect_url: str
    until: float

    @classmethod
    def new(cls, redirect_url: str, now: float) -> Pending:
        """A sign-in that begins now."""
        state, nonce, verifier = (secrets.token_urlsafe(size) for size in (24, 24, 48))
        return cls(state, nonce, verifier, redirect_url, now + LASTS_S)

    @property
    def challenge(self) -> str:
        """What PKCE shows of the verifier (RFC 7636, S256)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")

    def sealed(self, pepper: Pepper) -> str:
        """As a cookie, which nobody else can make."""
        body = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"{body}.{pepper.digest('sign-in', body.encode())}"

    @classmethod
    def unsealed(cls, cookie: str, pepper: Pepper, *, state: str, now: float) -> Pending:
        """What a cookie holds, if it belongs to this `state`. Raises Unauthorised."""
        body, _, seal = cookie.partition(".")
        if not hmac.compare_digest(seal.encode(), pepper.digest("sign-in", body.encode()).encode()):
            raise Unauthorised(ELSEWHERE)
        found = cls(**json.loads(base64.urlsafe_b64decode(body)))
        if found.until < now or not hmac.compare_digest(found.state.encode(), state.encode()):
            raise Unauthorised(ELSEWHERE)
        return found
