"""Signing in with the page through the provider, signing out, and who one is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from rag.accounts.authentication import Authentication, session_cookie
from rag.accounts.pending import LASTS_S
from rag.errors import NotFound, Unauthorised
from rag.types import Principal, Right

if TYPE_CHECKING:
    from rag.accounts.oidc import Provider

router = APIRouter()
PENDING = "rag_sign_in"


class WhoAmI(BaseModel):
    """The caller as this server sees him. `collections` null: all. `owner`: he owns the home."""

    user: str
    tenant: str
    groups: list[str]
    rights: list[Right]
    collections: list[str] | None
    key: str
    owner: bool


class Door(BaseModel):
    """What the page may offer to who has shown nothing yet."""

    sign_in: bool


def authentication_of(request: Request) -> Authentication:
    found: Authentication = request.app.state.authentication
    return found


Entrance = Annotated[Authentication, Depends(authentication_of)]


def provider_of(authentication: Authentication) -> Provider:
    """The provider of this server. Raises NotFound where people do not sign in."""
    if authentication.provider is None:
        raise NotFound("nobody signs in here: set oidc.issuer, or show a key")
    return authentication.provider


@router.get("/v1/whoami")
async def whoami(request: Request) -> WhoAmI:
    """Who the caller is, and what he may do."""
    caller: Principal = request.state.principal
    return WhoAmI(
        user=caller.user,
        tenant=caller.tenant,
        groups=list(caller.groups),
        rights=sorted(caller.rights),
        collections=None if caller.collections is None else list(caller.collections),
        key=caller.key,
        owner=not (caller.user or caller.key),
    )


@router.get("/session", include_in_schema=False)
async def session(authentication: Entrance) -> Door:
    """Whether one may sign in here."""
    return Door(sign_in=authentication.provider is not None)


@router.get("/login", include_in_schema=False)
async def login(request: Request, authentication: Entrance) -> Response:
    """Send the browser to the provider."""
    provider = provider_of(authentication)
    address, sealed = await provider.aside(provider.begin, f"{base_of(request)}/callback")
    reply = RedirectResponse(address, 303)
    # Lax: the provider sends the browser back from another site, and this cookie must come along.
    reply.set_cookie(
        PENDING,
        sealed,
        max_age=int(LASTS_S),
        path="/callback",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
    return reply


@router.get("/callback", include_in_schema=False)
async def callback(
    request: Request, authentication: Entrance, code: str = "", state: str = "", error: str = ""
) -> Response:
    """Take the browser back: a session begins."""
    provider = provider_of(authentication)
    sealed = request.cookies.get(PENDING, "")
    if error or not (code and state and sealed):
        raise Unauthorised("the provider did not sign you in; begin again at /login")
    user, cookie = await provider.aside(provider.finish, sealed, state, code)
    who = Principal(tenant=user.tenant, user=user.name)
    await asyncio.to_thread(provider.accounts.audit.record, "session.open", who, object=user.id)
    reply = RedirectResponse("/", 303)
    reply.set_cookie(
        authentication.cookie,
        cookie,
        max_age=provider.settings.session_s,
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
    reply.delete_cookie(PENDING, path="/callback", httponly=True, samesite="lax", secure=is_secure(request))
    return reply


@router.post("/logout", status_code=204, include_in_schema=False)
async def logout(request: Request, authentication: Entrance) -> Response:
    """End the session of this browser."""
    accounts = authentication.accounts
    shown = session_cookie(request.headers, authentication.cookie)
    await asyncio.to_thread(accounts.sessions.close, shown)
    await asyncio.to_thread(accounts.audit.record, "session.close", request.state.principal)
    reply = Response(status_code=204)
    reply.delete_cookie(authentication.cookie, httponly=True, samesite="strict", secure=is_secure(request))
    return reply


def base_of(request: Request) -> str:
    """The address of this server as the browser knows it."""
    told: str = request.app.state.system.settings.server.public_url
    return (told or str(request.base_url)).rstrip("/")


def is_secure(request: Request) -> bool:
    """Whether cookies go over TLS only: everywhere but where there is none."""
    return base_of(request).startswith("https:")
