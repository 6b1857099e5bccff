"""A small service for tests of what stands before the assistant: real HTTP, real JSON, three passages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.server
import json
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from rag.answering.manner import AS_SET, Manner
from rag.api.app import create_app
from rag.assembly import System
from rag.assistant import Delta, Event, Final, Sources
from rag.cost.accountant import Accountant
from rag.engine.generator import Logprob
from rag.errors import RagError
from rag.models.lockfile import entry
from rag.retrieval.filters import Filter
from rag.routing.opening import open_voices
from rag.settings import ServerSettings, Settings
from rag.store.database import Database
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Cost,
    Document,
    DocumentState,
    Message,
    Outcome,
    Passage,
    Principal,
    Tier,
    Usage,
)

TEXTS = {
    "Leave": "Employees have 28 days of paid leave a year.",
    "Travel": "Hotels are paid up to 140 euros a night.",
    "Kitchen": "The coffee machine is cleaned every Friday.",
}


def passages() -> list[Passage]:
    """One passage of each document of TEXTS."""
    return [
        Passage(
            chunk=Chunk(
                id=f"chunk-{title}", ordinal=0, text=text, heading_path=("Handbook", title), pages=(2,)
            ),
            document_id=f"document-{title}",
            version=1,
            title=title,
            uri=f"/handbook/{title}.md",
            score=0.5,
            dense=0.4,
            sparse=3.0,
        )
        for title, text in TEXTS.items()
    ]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


@dataclass
class SmallLibrary:
    """Assistant, retriever, catalog and index in one: answers with the passage that shares most words."""

    holds_after: int | None = None  # words after which it says no more, until this is None again
    failure: RagError | None = None
    bug: Exception | None = None
    fails_after: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    stopped_early: int = 0
    database: Any = None

    async def search(
        self,
        question: str,
        principal: Principal,
        *,
        collection: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
    ) -> list[Passage]:
        found = [passage for passage in passages() if words(question) & words(passage.chunk.text)]
        return sorted(found, key=lambda passage: -len(words(question) & words(passage.chunk.text)))[:limit]

    async def ask(
        self,
        question: str,
        principal: Principal,
        *,
        history: Sequence[Message] = (),
        collection: str | None = None,
        tier: str | None = None,
        limit: int | None = None,
        only: Filter | None = None,
        manner: Manner = AS_SET,
        request_id: str = "",
        before: str = "",
        most: float = 0.0,
    ) -> AsyncIterator[Event]:
        asked = {"question": question, "history": history, "collection": collection, "tier": tier}
        self.asked.append(asked | {"only": only, "manner": manner})
        if self.bug:
            raise self.bug
        if self.failure and not self.fails_after:
            raise self.failure
        found = tuple(await self.search(question, principal, limit=limit))
        answer = self.answer(found, tier or Tier.EXTRACT)
        if manner.schema and found:
            answer = replace(answer, text='{"text": "Employees"}')
        try:
            yield Sources(found)
            for number, word in enumerate(re.findall(r"\S+\s*", answer.text), 1):
                await asyncio.sleep(0)
                while self.holds_after is not None and number > self.holds_after:
                    await asyncio.sleep(0.01)
                if self.failure and number > self.fails_after:
                    raise self.failure
                drawn = (Logprob(word, number, -0.5, ((word, number, -0.5), ("b", 7, -1.5))),)
                new = answer.citations if word == "[1]" else ()
                yield Delta(word, new, drawn if manner.logprobs is not None else ())
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped_early += 1
            raise
        yield Final(answer)

    def answer(self, found: tuple[Passage, ...], tier: str) -> Answer:
        common = {
            "tier": tier,
            "passages": found,
            "usage": Usage(40, 8, 12),
            "cost": Cost(0.00001, "EUR", 1.8, "estimate: CPU-seconds x rate"),
            "seconds": {"retrieve": 0.01, "total": 0.02},
            "model": "smollm2-135m-instruct",
        }
        if not found:
            return Answer("The documents do not answer this.", Outcome.NOT_FOUND, citations=(), **common)
        best = found[0]
        citation = Citation(
            marker=1,
            document_id=best.document_id,
            title=best.title,
            uri=best.uri,
            chunk_id=best.chunk.id,
            quote=best.chunk.text,
            start=0,
            end=len(best.chunk.text),
            page=2,
            section="Handbook > " + best.title,
            score=best.score,
        )
        return Answer(f"{best.chunk.text} [1]", Outcome.QUOTED, citations=(citation,), **common)

    def documents(
        self, principal: Principal, *, collection: str | None = None, **_paging: Any
    ) -> list[Document]:
        documents = [
            Document(
                id=f"document-{title}",
                uri=f"/handbook/{title}.md",
                title=title,
                collection="handbook",
                tenant="default",
                sha256="0" * 64,
                version=1,
                state=DocumentState.LIVE,
                chunks=1,
            )
            for title in TEXTS
        ]
        return [document for document in documents if collection in (None, document.collection)]

    def counts(self, principal: Principal) -> dict[DocumentState, int]:
        return {DocumentState.LIVE: len(TEXTS)}

    async def info(self) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        return {"points": len(TEXTS), "model": "all-minilm-l6-v2"}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[SmallLibrary]:
    library = SmallLibrary(database=Database(tmp_path))
    yield library
    library.database.close()


class IdentityProvider:
    """A small OpenID provider on a real port, with real keys and one-time codes.

    `vouches`: claims of whoever signs in there now. `published`: which of its keys it shows.
    """

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.keys = {"first": key}
        self.published = ["first"]
        self.vouches: dict[str, Any] = {"sub": "ann"}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.nonce: str | None = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def token(self, *, kid: str = "first", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A signed token; claims that are None are left out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": "permafrost", "sub": "ann", "iat": now, "exp": now + 300}
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(said, self.keys[kid], "RS256", {"kid": kid, **(headers or {})})

    def jwks(self) -> dict[str, Any]:
        shown = []
        for kid in self.published:
            public = RSAAlgorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
            shown.append({**public, "kid": kid, "use": "sig"})
        return {"keys": shown}

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser of somebody who has signed in there goes next."""
        code = secrets.token_hex(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def redeem(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The reply of the token endpoint, once for each code and only to who holds the verifier."""
        query = self.codes.pop(form["code"], None)
        hashed = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
        if (
            query is None
            or query["code_challenge"] != challenge
            or query["redirect_uri"] != form["redirect_uri"]
        ):
            return None
        nonce = self.nonce if self.nonce is not None else query["nonce"]
        return {"id_token": self.token(nonce=nonce, **self.vouches), "token_type": "Bearer"}

    def handler(provider) -> type[http.server.BaseHTTPRequestHandler]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                provider.asked.append(parts.path)
                if parts.path == "/.well-known/openid-configuration":
                    paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token"}
                    paths["jwks_uri"] = "/keys"
                    found = {name: provider.issuer + path for name, path in paths.items()}
                    self.reply(200, {"issuer": provider.issuer, **found})
                elif parts.path == "/keys":
                    self.reply(200, provider.jwks())
                elif parts.path == "/authorize":
                    self.send_response(303)
                    self.send_header("Location", provider.authorize(dict(parse_qsl(parts.query))))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self.reply(404, {})

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                found = provider.redeem(form)
                self.reply(200 if found else 400, found or {"error": "invalid_grant"})

            def reply(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments: Any) -> None:
                pass

        return Handler


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def idp(signing_key: rsa.RSAPrivateKey) -> Iterator[IdentityProvider]:
    provider = IdentityProvider(signing_key)
    yield provider
    provider.close()


class Service:
    """An application on a real port of this machine."""

    def __init__(self, library: SmallLibrary, url: str, state: Any) -> None:
        self.library, self.url = library, url
        self.accounts, self.authentication = state.accounts, state.authentication
        self.http = httpx.Client(base_url=url, timeout=60)


@pytest.fixture
def serving(library: SmallLibrary, tmp_path: Path, listening: Any) -> Any:
    """A context manager that serves the library with the given server settings."""

    @contextlib.contextmanager
    def start(sections: dict[str, Any] = {}, **settings: Any) -> Iterator[Service]:  # noqa: B006
        roles = {"catalog": library, "vectors": library, "retriever": library, "assistant": library}
        system = System(
            settings=Settings(home=tmp_path, server=ServerSettings(**settings), **sections),
            principal=Principal(),
            voices=open_voices(Settings(home=tmp_path)),
            accountant=Accountant(library.database, Settings(home=tmp_path)),
            model=entry("smollm2-135m-instruct"),
            pipeline=None,  # type: ignore[arg-type]
            feeder=None,  # type: ignore[arg-type]
            page_images=None,  # type: ignore[arg-type]
            instance="the-instance",
            **roles,  # type: ignore[arg-type]
        )
        app = create_app(system)
        with listening(app) as url:
            service = Service(library, url, app.state)
            with service.http:
                yield service

    return start


@pytest.fixture
def service(request: pytest.FixtureRequest, serving: Any) -> Iterator[Service]:
    with serving(**getattr(request, "param", {})) as running:
        yield running
