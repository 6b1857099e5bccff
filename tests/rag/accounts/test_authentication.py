from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers

from rag.accounts.accounts import Accounts
from rag.accounts.authentication import Authentication, credential
from rag.errors import Unauthorised
from rag.settings import ServerSettings, Settings
from rag.types import Principal

OWNER = Principal()


def who(authentication: Authentication, **headers: str) -> Principal:
    """Whom these headers stand for; `_` in their names is a dash."""

    async def ask() -> Principal:
        found = await authentication.principal(
            Headers({name.replace("_", "-"): value for name, value in headers.items()})
        )
        await asyncio.gather(*authentication._notes)
        return found

    return asyncio.run(ask())


def guarded(accounts: Accounts, **server: Any) -> Authentication:
    return Authentication(ServerSettings(**server), OWNER, accounts)


def test_until_there_is_a_key_everybody_on_this_machine_is_the_owner(accounts: Accounts) -> None:
    authentication = guarded(accounts)
    assert authentication.is_open()
    assert who(authentication) == who(authentication, authorization="Bearer unused") == OWNER
    assert who(authentication, cookie="rag_session=left from another time") == OWNER
    key, _ = accounts.issue("ann", "acme", "laptop")
    for headers in ({}, {"authorization": "Bearer unused"}, {"cookie": "rag_session=x"}):
        with pytest.raises(Unauthorised):
            who(authentication, **headers)
    accounts.keys.revoke(key.id)
    assert not guarded(accounts).is_open()


def test_a_key_works_in_either_header_and_its_use_is_noted(accounts: Accounts) -> None:
    authentication = guarded(accounts)
    _, shown = accounts.issue("ann", "acme", "laptop")
    assert who(authentication, authorization=f"Bearer {shown}").user == "ann"
    assert who(authentication, x_api_key=shown).user == "ann"
    assert who(authentication, authorization=f"bearer  {shown}", x_api_key=shown).user == "ann"
    assert accounts.keys.all()[0].used_at is not None


def test_a_revoked_key_is_revoked_in_every_header(accounts: Accounts) -> None:
    authentication = guarded(accounts)
    key, shown = accounts.issue("ann", "acme", "laptop")
    accounts.keys.revoke(key.id)
    for headers in ({"authorization": f"Bearer {shown}"}, {"x_api_key": shown}):
        with pytest.raises(Unauthorised, match="was revoked"):
            who(authentication, **headers)


@pytest.mark.parametrize(
    "raw",
    [
        [(b"authorization", b"Basic abc")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"authorization", b"Bearer a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
    ],
)
def test_headers_that_could_be_read_in_two_ways_are_refused(raw: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthorised):
        credential(Headers(raw=raw))


def test_the_key_of_the_settings_and_the_token_of_the_run_are_the_owners(accounts: Accounts) -> None:
    authentication = guarded(accounts, api_key="s3cret")
    accounts.issue("ann", "acme", "laptop")
    assert who(authentication, authorization="Bearer s3cret") == OWNER
    assert who(authentication, x_api_key=authentication.owner_token) == OWNER
    for wrong in ("s3cre", "s3cret ", "S3cret", "", "ünused"):
        with pytest.raises(Unauthorised):
            who(authentication, authorization=f"Bearer {wrong}x")
    assert authentication.owner_token != guarded(accounts).owner_token


def test_a_cookie_counts_only_where_no_key_is_shown(accounts: Accounts) -> None:
    authentication = guarded(accounts)
    accounts.issue("ann", "acme", "laptop")
    user = accounts.users.create("bo", "acme")
    cookie = f"other=1; rag_session={accounts.sessions.open(user, lasts_s=60)}"
    assert who(authentication, cookie=cookie).user == "bo"
    with pytest.raises(Unauthorised):
        who(authentication, cookie=cookie, authorization="Bearer rag_000000000000_x")


def test_a_bearer_token_and_a_key_pass_through_the_same_door(accounts: Accounts, idp: Any) -> None:
    settings = Settings(oidc={"issuer": idp.issuer, "client_id": "permafrost"})
    authentication = Authentication.of(settings, OWNER, accounts)
    assert authentication.provider is not None
    _, shown = accounts.issue("svc", "default", "job")
    assert who(authentication, authorization=f"Bearer {idp.token(sub='ann')}").user == "ann"
    assert who(authentication, authorization=f"Bearer {shown}").user == "svc"
    assert not authentication.is_open()
    with pytest.raises(Unauthorised):
        who(authentication)
    authentication.provider.close()
