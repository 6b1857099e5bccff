"""Tokens and sign-ins, against a real provider on a real port with real keys."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from rag.accounts.accounts import Accounts
from rag.accounts.oidc import Provider
from rag.accounts.tokens import AGAIN_S, Keyring
from rag.accounts.users import SignIn
from rag.errors import ProviderUnavailable, SettingsError, Unauthorised
from rag.settings import OidcSettings
from rag.types import Right

Made = Callable[..., Provider]


@pytest.fixture
def made(idp: Any, accounts: Accounts) -> Iterator[Made]:
    """A provider with these settings over the accounts of the test."""
    opened: list[Provider] = []

    def make(**settings: Any) -> Provider:
        known = {"issuer": idp.issuer, "client_id": "permafrost", **settings}
        opened.append(Provider(OidcSettings(**known), accounts, clock=time.time))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_a_signed_token_stands_for_its_user(made: Made, idp: Any, accounts: Accounts) -> None:
    who = made().bearer(idp.token(sub="ann"))
    assert (who.user, who.tenant, who.groups, who.rights) == ("ann", "default", ("everyone",), {Right.ASK})
    entered = accounts.users.named("ann", "default")
    assert entered is not None and entered.sign_in is SignIn.OIDC


def test_groups_and_roles_come_from_the_claims_that_the_settings_name(made: Made, idp: Any) -> None:
    provider = made(
        groups_claim="teams", roles_claim="access", roles={"kb-curators": "curator", "kb-audit": "auditor"}
    )
    token = idp.token(teams=["legal", "bad\nname", 7], access=["kb-curators", "kb-audit", "other"])
    who = provider.bearer(token)
    assert who.groups == ("everyone", "legal")
    assert who.rights == {Right.ASK, Right.WRITE, Right.CURATE, Right.AUDIT}
    assert provider.bearer(idp.token(access=[])).rights == frozenset()


def test_local_groups_count_too_and_their_change_acts_at_once(
    made: Made, idp: Any, accounts: Accounts
) -> None:
    provider, token = made(), idp.token()
    ann = provider.bearer(token).user
    user = accounts.users.named(ann, "default")
    assert user is not None
    group = accounts.groups.create("legal", "default", user_ids=[user.id])
    assert provider.bearer(token).groups == ("everyone", "legal")
    accounts.groups.change(group.id, "default", remove=[user.id])
    assert provider.bearer(token).groups == ("everyone",)


def test_a_suspended_user_is_refused_though_the_token_is_good(
    made: Made, idp: Any, accounts: Accounts
) -> None:
    provider, token = made(), idp.token()
    provider.bearer(token)
    user = accounts.users.named("ann", "default")
    assert user is not None
    accounts.users.suspend(user.id, "default")
    with pytest.raises(Unauthorised, match="suspended"):
        provider.bearer(token)


def test_who_may_choose_his_name_there_cannot_take_over_an_account_for_keys(
    made: Made, idp: Any, accounts: Accounts
) -> None:
    accounts.issue("admin", "default", "first")
    with pytest.raises(Unauthorised, match="account for keys"):
        made(user_claim="preferred_username").bearer(idp.token(preferred_username="admin"))


def test_an_unproven_address_names_nobody(made: Made, idp: Any) -> None:
    provider = made(user_claim="email")
    assert provider.bearer(idp.token(email="a@b.example", email_verified=True)).user == "a@b.example"
    for claims in ({"email": "a@b.example"}, {"email": "a@b.example", "email_verified": "true"}, {}):
        with pytest.raises(Unauthorised, match="names no user"):
            provider.bearer(idp.token(**claims))


def unsigned(idp: Any) -> str:
    return str(jwt.encode(jwt.decode(idp.token(), options={"verify_signature": False}), "", "none"))


def hmac_with_the_public_key(idp: Any) -> str:
    """The confusion of CVE-2022-29217, made by hand: PyJWT itself refuses to sign so."""
    import hashlib
    import hmac

    pem = (
        idp.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    payload = idp.token().split(".")[1]
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=").decode()
    )
    seal = hmac.digest(pem, f"{head}.{payload}".encode(), hashlib.sha256)
    return f"{head}.{payload}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def signed_by_a_stranger(idp: Any) -> str:
    idp.keys["stranger"] = rsa.generate_private_key(65537, 2048)
    return str(idp.token(kid="stranger", headers={"kid": "first"}))


def signed_by_a_key_that_it_brings(idp: Any) -> str:
    own = rsa.generate_private_key(65537, 2048)
    idp.keys["own"] = own
    shown = {**RSAAlgorithm.to_jwk(own.public_key(), as_dict=True), "kid": "first"}
    places = {"jku": f"{idp.issuer}/own", "x5u": f"{idp.issuer}/own"}
    return str(idp.token(kid="own", headers={"kid": "first", "jwk": shown, **places}))


def edited(idp: Any) -> str:
    head, payload, seal = idp.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    body = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "admin"}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{seal}"


def forged(idp: Any, **header: Any) -> str:
    """A token whose header was changed after it was signed."""
    _, payload, seal = idp.token().split(".")
    head = json.dumps({"alg": "RS256", "kid": "first", **header}).encode()
    return f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{payload}.{seal}"


BAD: dict[str, Callable[[Any], str]] = {
    "without a signature": unsigned,
    "HMAC with the public key": hmac_with_the_public_key,
    "signed by a stranger": signed_by_a_stranger,
    "signed by a key that it brings": signed_by_a_key_that_it_brings,
    "edited": edited,
    "of another algorithm": lambda idp: jwt.encode({}, idp.keys["first"], "RS512", {"kid": "first"}),
    "critical header": lambda idp: idp.token(headers={"crit": ["b64"], "b64": True}),
    "unknown critical header": lambda idp: idp.token(headers={"crit": ["x"]}),
    "a logout token": lambda idp: idp.token(headers={"typ": "logout+jwt"}),
    "no key named": lambda idp: idp.token(headers={"kid": ""}),
    "key id is a path": lambda idp: idp.token(headers={"kid": "../../../dev/null"}),
    "key id is a question to a database": lambda idp: idp.token(headers={"kid": "x' UNION SELECT 'first"}),
    "another issuer": lambda idp: idp.token(iss=idp.issuer + "/"),
    "another audience": lambda idp: idp.token(aud="billing"),
    "no audience": lambda idp: idp.token(aud=None),
    "made for a third party": lambda idp: idp.token(aud=["permafrost", "billing"], azp="billing"),
    "no end": lambda idp: idp.token(exp=None),
    "over": lambda idp: idp.token(exp=int(time.time()) - 31),
    "not yet": lambda idp: idp.token(nbf=int(time.time()) + 40),
    "issued in the future": lambda idp: idp.token(iat=int(time.time()) + 400),
    "no subject": lambda idp: idp.token(sub=None),
    "no token at all": lambda idp: "a.b.c",
    "algorithm is a list": lambda idp: forged(idp, alg=["RS256"]),
    "algorithm is nothing": lambda idp: forged(idp, alg=None),
    "kind is an object": lambda idp: forged(idp, typ={"a": 1}),
    "key id is a list": lambda idp: forged(idp, kid=["first"]),
    "empty parts": lambda idp: "..",
}


@pytest.mark.parametrize("what", BAD)
def test_a_token_is_refused_that_is(what: str, made: Made, idp: Any) -> None:
    provider = made()
    provider.bearer(idp.token())
    with pytest.raises(Unauthorised):
        provider.bearer(BAD[what](idp))


def test_a_token_with_any_letter_changed_is_refused_and_nothing_breaks(made: Made, idp: Any) -> None:
    provider, token = made(), idp.token()
    provider.bearer(token)
    chance = random.Random(20261121)
    for _ in range(1000):
        place = chance.randrange(len(token))
        changed = token[:place] + chance.choice(string.printable + "é\u2028") + token[place + 1 :]
        if jws(changed) != jws(token):
            with pytest.raises(Unauthorised):
                provider.bearer(changed)


def jws(token: str) -> list[bytes | str]:
    """What a token says: two ways to write the last bits of a signature say the same."""
    parts: list[bytes | str] = []
    for part in token.split("."):
        try:
            parts.append(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except ValueError:
            parts.append(part)
    return parts


def test_clocks_may_be_apart_by_the_leeway_and_no_more(made: Made, idp: Any) -> None:
    provider = made(leeway_s=30)
    assert provider.bearer(idp.token(exp=int(time.time()) - 20, nbf=int(time.time()) + 20)).user == "ann"
    with pytest.raises(Exception, match="less than or equal to 60"):
        OidcSettings(leeway_s=61)


def test_es256_is_read_and_another_curve_or_a_short_key_is_not(made: Made, idp: Any) -> None:
    good, odd = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    short = rsa.generate_private_key(65537, 1024)
    shown = [{**ECAlgorithm.to_jwk(good.public_key(), as_dict=True), "kid": "p256"}]
    shown += [{**ECAlgorithm.to_jwk(odd.public_key(), as_dict=True), "kid": "p384"}]
    idp.keys["short"], idp.published = short, ["first", "short"]
    listed = idp.jwks
    idp.jwks = lambda: {"keys": [*listed()["keys"], *shown, {"kty": "RSA"}, "junk"]}
    provider = made()
    claims = jwt.decode(idp.token(), options={"verify_signature": False})
    assert provider.bearer(jwt.encode(claims, good, "ES256", {"kid": "p256"})).user == "ann"
    with pytest.raises(Unauthorised):
        provider.bearer(jwt.encode(claims, odd, "ES384", {"kid": "p384"}))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        weak = idp.token(kid="short")
    with pytest.raises(Unauthorised, match="key"):
        provider.bearer(weak)


def test_a_new_key_of_the_provider_is_fetched_when_it_is_first_seen(made: Made, idp: Any) -> None:
    clock = [0.0]
    fetched: list[float] = []

    def fetch() -> Any:
        fetched.append(clock[0])
        return idp.jwks()

    keyring = Keyring(fetch, clock=lambda: clock[0])
    keyring.key("first", "RS256")
    idp.keys["second"], idp.published = rsa.generate_private_key(65537, 2048), ["second"]
    with pytest.raises(Unauthorised):
        keyring.key("second", "RS256")  # a stranger cannot make us ask again and again
    clock[0] += AGAIN_S + 1
    assert keyring.key("second", "RS256").key_id == "second"
    with pytest.raises(Unauthorised):
        keyring.key("first", "RS256")  # withdrawn
    assert fetched == [0.0, AGAIN_S + 1]


def test_known_keys_serve_while_the_provider_is_away_and_nobody_gets_in_without(made: Made, idp: Any) -> None:
    provider, token = made(), idp.token()
    provider.bearer(token)
    fresh = made()
    idp.close()
    assert provider.bearer(token).user == "ann"
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            fresh.bearer(token)


def test_the_address_of_keys_can_be_pinned(made: Made, idp: Any) -> None:
    assert made(jwks_url=f"{idp.issuer}/keys").bearer(idp.token()).user == "ann"
    assert idp.asked == ["/keys"]


def test_a_provider_that_calls_itself_otherwise_is_not_believed(made: Made, idp: Any) -> None:
    provider = made(issuer=idp.issuer.replace("127.0.0.1", "localhost"))
    with pytest.raises(ProviderUnavailable, match="calls itself otherwise"):
        provider.begin("http://127.0.0.1/callback")


def test_a_provider_without_tls_or_without_our_name_there_is_refused_at_the_start(accounts: Accounts) -> None:
    with pytest.raises(SettingsError, match="is not https"):
        Provider(OidcSettings(issuer="http://idp.example", client_id="x"), accounts)
    with pytest.raises(SettingsError, match=r"oidc\.client_id is not"):
        Provider(OidcSettings(issuer="https://idp.example"), accounts)


def browser(address: str) -> dict[str, str]:
    """What the provider sends back with the browser."""
    reply = httpx.get(address, follow_redirects=False, trust_env=False)
    return dict(parse_qsl(urlsplit(reply.headers["location"]).query))


BACK = "http://127.0.0.1:8000/callback"


def test_a_sign_in_becomes_a_session_with_the_groups_of_that_moment(
    made: Made, idp: Any, accounts: Accounts
) -> None:
    provider = made(groups_claim="teams", client_secret="shh")
    idp.vouches = {"sub": "ann", "teams": ["legal"]}
    address, cookie = provider.begin(BACK)
    asked = dict(parse_qsl(urlsplit(address).query))
    assert (asked["response_type"], asked["code_challenge_method"], asked["redirect_uri"]) == (
        "code",
        "S256",
        BACK,
    )
    back = browser(address)
    user, session = provider.finish(cookie, back["state"], back["code"])
    who = accounts.sessions.holder(session)
    assert (user.name, who.user, who.groups) == ("ann", "ann", ("everyone", "legal"))
    accounts.users.suspend(user.id, "default")
    with pytest.raises(Unauthorised, match="session has ended"):
        accounts.sessions.holder(session)


def test_a_code_works_once(made: Made, idp: Any) -> None:
    provider = made()
    address, cookie = provider.begin(BACK)
    back = browser(address)
    provider.finish(cookie, back["state"], back["code"])
    with pytest.raises(Unauthorised, match="does not vouch"):
        provider.finish(cookie, back["state"], back["code"])


def test_a_sign_in_that_began_in_another_browser_is_refused(made: Made, idp: Any) -> None:
    provider = made()
    mine, theirs = provider.begin(BACK), provider.begin(BACK)
    back = browser(theirs[0])
    for cookie in (mine[1], "", "junk", mine[1][:-1] + "0", theirs[1].partition(".")[0]):
        with pytest.raises(Unauthorised, match="did not begin in this browser"):
            provider.finish(cookie, back["state"], back["code"])
    # The code alone, in a sign-in of somebody else, fails for want of the verifier.
    with pytest.raises(Unauthorised, match="does not vouch"):
        provider.finish(mine[1], browser(mine[0])["state"], back["code"])


def test_a_refusal_that_is_no_json_is_a_refusal(made: Made, idp: Any) -> None:
    provider = made()
    address, cookie = provider.begin(BACK)
    state = browser(address)["state"]

    def plainly(self: Any, status: int, body: Any) -> None:
        self.send_response(400)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"no\n")

    idp.server.RequestHandlerClass.reply = plainly
    with pytest.raises(Unauthorised, match="does not vouch"):
        provider.finish(cookie, state, "of nobody")


def test_a_token_of_another_sign_in_is_refused(made: Made, idp: Any) -> None:
    provider = made()
    address, cookie = provider.begin(BACK)
    back = browser(address)
    idp.nonce = "of another time"
    with pytest.raises(Unauthorised, match="nonce"):
        provider.finish(cookie, back["state"], back["code"])


def test_a_sign_in_that_takes_too_long_is_over(idp: Any, accounts: Accounts) -> None:
    now = [time.time()]
    provider = Provider(
        OidcSettings(issuer=idp.issuer, client_id="permafrost"), accounts, clock=lambda: now[0]
    )
    address, cookie = provider.begin(BACK)
    back = browser(address)
    now[0] += 601
    with pytest.raises(Unauthorised, match="is over"):
        provider.finish(cookie, back["state"], back["code"])
    provider.close()


def test_a_session_ends_at_its_time_and_when_it_is_closed(accounts: Accounts, clock: Any) -> None:
    user = accounts.users.create("ann", "default", sign_in=SignIn.OIDC)
    one = accounts.sessions.open(user, lasts_s=60)
    two = accounts.sessions.open(user, lasts_s=600)
    clock.now += 60
    for ended in (one, "never there"):
        with pytest.raises(Unauthorised):
            accounts.sessions.holder(ended)
    assert accounts.sessions.holder(two).user == "ann"
    accounts.sessions.close(two)
    with pytest.raises(Unauthorised):
        accounts.sessions.holder(two)
