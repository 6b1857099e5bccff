"""Tokens of an OpenID provider, verified with its public keys by fixed rules. The only importer of PyJWT."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from typing import Any

import jwt

from rag.errors import ProviderUnavailable, Unauthorised

# Signatures by key pairs only: with HMAC in the list a public key would do as the secret.
ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
TYPES = (None, "JWT", "jwt", "at+jwt", "application/at+jwt")
REQUIRED = ["exp", "iss", "aud", "sub"]
FRESH_S = 3600.0
AGAIN_S = 30.0  # how often a key id that nobody knows may make us ask
BUSY_S = 1.0  # how long one waits for what another thread is asking already

Fetch = Callable[[], Any]


class Keyring:
    """The public keys of a provider, fetched when they are first needed, old, or do not hold a key id."""

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._lock = threading.Lock()

    def key(self, kid: str, algorithm: str) -> jwt.PyJWK:
        """The key of this id for this algorithm. Raises Unauthorised, ProviderUnavailable."""
        wanted = (kid, algorithm)
        if self._is_due(wanted):
            # A key that is known serves on while another thread asks: a provider may hang.
            if self._lock.acquire(timeout=0 if wanted in self._keys else BUSY_S):
                try:
                    if self._is_due(wanted):
                        self._refresh()
                finally:
                    self._lock.release()
            elif wanted not in self._keys:
                raise ProviderUnavailable("the sign-in provider is slow to tell its keys; try again")
        if not self._keys:
            # Not asked again for a while: callers must not all wait for a provider that is down.
            raise ProviderUnavailable("the keys of the sign-in provider cannot be had; try again")
        found = self._keys.get(wanted)
        if found is None:
            raise Unauthorised("the token is signed with a key that its issuer does not publish")
        return found

    def _is_due(self, wanted: tuple[str, str]) -> bool:
        """Whether to ask: the keys are old, or do not hold this one and are not quite new."""
        if self._asked_at is None:
            return True
        return self._clock() - self._asked_at > (FRESH_S if wanted in self._keys else AGAIN_S)

    def _refresh(self) -> None:
        """Ask again. What is known stays when there is no answer; without any the error is raised."""
        try:
            self._keys = readable(self._fetch())
        except ProviderUnavailable:
            if not self._keys:
                raise
        finally:
            self._asked_at = self._clock()


def readable(document: Any) -> dict[tuple[str, str], jwt.PyJWK]:
    """The keys of a JWKS document that may sign for us, by id and algorithm. Raises ProviderUnavailable."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ProviderUnavailable("the provider's keys are not a JWKS document")
    found = {}
    for each in document["keys"]:
        for algorithm, kind in ALGORITHMS.items():
            if isinstance(each, dict) and may_sign(each, algorithm, kind):
                try:
                    found[each["kid"], algorithm] = jwt.PyJWK(each, algorithm)
                except jwt.PyJWTError:
                    continue
    return found


def may_sign(key: dict[str, Any], algorithm: str, kind: str) -> bool:
    """Whether a published key is one for signatures of this algorithm."""
    fits = key.get("kty") == kind and (kind != "EC" or key.get("crv") == "P-256")
    meant = key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
    return fits and meant and isinstance(key.get("kid"), str)


class Verifier:
    """Reads the tokens of one issuer."""

    def __init__(self, issuer: str, keyring: Keyring, *, leeway_s: int) -> None:
        self._issuer, self._keyring, self._leeway_s = issuer, keyring, leeway_s

    def claims(self, token: str, audience: str, *, nonce: str | None = None) -> dict[str, Any]:
        """What a token says, if all of it holds. Raises Unauthorised with the first thing that does not."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = checked(header)
            key = self._keyring.key(header["kid"], algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=audience,
                leeway=self._leeway_s,
                options={"require": REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise Unauthorised(f"the token is not valid: {str(error)[:200]}") from None
        audiences = claims["aud"]
        if isinstance(audiences, list) and len(audiences) > 1 and claims.get("azp", audience) != audience:
            raise Unauthorised("the token was made for somebody else (azp)")
        if nonce is not None and not hmac.compare_digest(
            str(claims.get("nonce", "")).encode(), nonce.encode()
        ):
            raise Unauthorised("the token belongs to another sign-in (nonce)")
        return claims


def checked(header: dict[str, Any]) -> str:
    """The algorithm of a header that we can go by. Raises Unauthorised."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Unauthorised(f"the token must be signed with {' or '.join(ALGORITHMS)}")
    if "crit" in header:
        raise Unauthorised("the token has a critical header that is not understood here")
    if header.get("typ") not in TYPES:
        raise Unauthorised("the token is of another kind than an identity or access token")
    if not isinstance(header.get("kid"), str):
        raise Unauthorised("the token does not name its key (kid)")
    return algorithm
