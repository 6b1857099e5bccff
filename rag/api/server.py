"""`rag serve`: binds, announces, answers until a signal, drains, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from rag.accounts.accounts import Accounts
from rag.accounts.authentication import Authentication
from rag.api import address
from rag.api.app import create_app
from rag.api.connection import Connection
from rag.api.gate import is_loopback
from rag.api.journal import start_logging
from rag.api.upkeep import upkeep
from rag.assembly import open_system
from rag.errors import SettingsError
from rag.observability.metrics import Metrics
from rag.settings import ServerSettings, Settings
from rag.store.restoring import MARK

DRAIN_S = 30
DEMO = "No key was made yet: everybody on this machine is its owner. rag keys create ends that."


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


async def serve(
    settings: Settings, *, announce: Callable[[str], None], tell: Callable[[str], None] = say
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the address once requests are answered.

    `tell` gets what else the owner must know: the first key, or that everybody on this machine may come in.
    Raises SettingsError when the address cannot be bound, when a server of this home already runs, or when
    the home is being restored.
    """
    await asyncio.to_thread(refuse_a_busy_home, settings.home)
    start_logging(settings.log_level)
    with bind(settings.server) as listener:
        async with open_system(settings, metrics=Metrics()) as system:
            url = url_of(listener)

            app = create_app(system)
            authentication: Authentication = app.state.authentication
            note = await asyncio.to_thread(door_note, settings.server, authentication)
            await asyncio.to_thread(record_start, settings, authentication.accounts)

            def started() -> None:
                address.publish(settings.home, url, system.instance, authentication.owner_token)
                announce(url)
                if note:
                    tell(note)

            config = uvicorn.Config(
                app,
                http=Connection,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
            warming = asyncio.create_task(system.warm())
            try:
                async with system.feeder.working(), upkeep(system, app.state.replies):
                    await Server(config, started, app.state.closing.set).serve(sockets=[listener])
            finally:
                address.withdraw(settings.home, system.instance)
                authentication.close()
                warming.cancel()
                await asyncio.gather(warming, return_exceptions=True)


def refuse_a_busy_home(home: Path) -> None:
    """Raises SettingsError for a home that another server answers from, or whose index is not whole yet."""
    if running := address.find(home):
        raise SettingsError(f"a server of {home} already runs at {running}; stop it, or choose another home")
    if (home / MARK).exists():
        raise SettingsError(
            f"{home} is being restored, its index is not whole: `rag backup restore` again ends that"
        )


class Server(uvicorn.Server):
    """uvicorn's server that tells when it is up and takes a signal as a wish to finish, not as a death."""

    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], closing: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._tell, self._closing = started, closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again afterwards, which would skip closing the system.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for each in signals:
            loop.add_signal_handler(each, self.handle_exit, each, None)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)


def door_note(settings: ServerSettings, authentication: Authentication) -> str:
    """What the owner must know about who comes in; empty: nothing.

    Beyond this machine nobody is served without a key: where there is none yet, one is made and told once.
    """
    accounts = authentication.accounts
    if settings.api_key or accounts.keys.any():
        return ""
    if is_loopback(settings.host):
        return DEMO if authentication.is_open() else ""
    issued = accounts.issue_first("admin", authentication.owner.tenant, "first start")
    if issued is None:
        return ""
    key, shown = issued
    accounts.audit.record("keys.create", "first start", object=key.id, tenant=key.tenant)
    return f"The first key, for an administrator, shown this once: {shown}"


def record_start(settings: Settings, accounts: Accounts) -> None:
    """Write down that a server started, with a digest of its settings: another digest, other settings."""
    digest = accounts.pepper.digest("settings", settings.model_dump_json().encode())
    accounts.audit.record("server.start", "server", object=f"settings {digest[:16]}")


def bind(settings: ServerSettings) -> socket.socket:
    """The listening socket. Bound here, so that port 0 has a number before anybody is told."""
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                "choose another with --port"
            ) from None
        stack.pop_all()
        return listener


def url_of(listener: socket.socket) -> str:
    """The address for a client on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
