"""A shallow bare clone of one branch, kept by the `git` program, which may run nothing and ask nobody."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from rag.errors import SourceError

TIP = "refs/permafrost/tip"
SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    "protocol.allow": "never",
    "transfer.bundleURI": "false",
}
PASSED_ON = (
    "PATH",
    "HOME",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
)
SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:(?!:)[^\s]+")


class Clone:
    """The newest commit of a branch (empty: the default one), in a folder that can always be made anew."""

    def __init__(
        self,
        folder: Path,
        *,
        url: str,
        branch: str = "",
        user: str = "git",
        token: str = "",
        timeout_s: float = 600.0,
    ) -> None:
        self._folder, self._url = folder, url
        self._reference = f"refs/heads/{branch}" if branch else "HEAD"
        self._environment = environment(url, user, token)
        self._timeout_s = timeout_s

    def exists(self) -> bool:
        """Whether there is a commit to read from."""
        if not (self._folder / "HEAD").exists():
            return False
        try:
            self.git("rev-parse", "--verify", "--quiet", TIP)
        except SourceError:
            return False
        return True

    def update(self) -> str:
        """Fetch the newest commit; returns its id. Raises SourceError.

        A killed fetch can leave lock files behind. So where it fails, it is tried once more from nothing.
        """
        try:
            if not (self._folder / "HEAD").exists():
                raise SourceError("no clone yet")
            self._fetch(self._folder)
        except SourceError:
            fresh = self._folder.with_name(self._folder.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            self.git("init", "--bare", "--quiet", "--template=", folder=fresh)
            self._fetch(fresh)
            shutil.rmtree(self._folder, ignore_errors=True)
            fresh.rename(self._folder)
        return self.git("rev-parse", TIP).decode().strip()

    def git(self, *arguments: str, folder: Path | None = None, into: IO[bytes] | None = None) -> bytes:
        """Run git; returns its output unless it goes `into` a file. Raises SourceError with git's words."""
        command = ["git", f"--git-dir={folder or self._folder}", *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=into or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                # A session of its own, so that the deadline also ends the programs that git starts.
                start_new_session=True,
            )
        except FileNotFoundError:
            raise SourceError("the program git is not installed") from None
        with process:
            try:
                output, errors = process.communicate(timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise SourceError(f"git {arguments[0]} took longer than {self._timeout_s:g} s") from None
        if process.returncode:
            said = errors.decode("utf-8", "replace").strip().replace("\n", "; ")
            raise SourceError(f"{without_password(self._url)}: {said or f'git {arguments[0]} failed'}")
        return output or b""

    def _fetch(self, folder: Path) -> None:
        what = ("--depth=1", "--no-tags", "--force", "--quiet", "--", self._url, f"+{self._reference}:{TIP}")
        self.git("fetch", *what, folder=folder)


def environment(url: str, user: str, token: str) -> dict[str, str]:
    """What git sees of ours. Settings go here and not on the command line, which everybody can read."""
    settings = SETTINGS | {f"protocol.{protocol(url)}.allow": "always"}
    if token:
        parts = urlsplit(url)
        key = base64.b64encode(f"{user}:{token}".encode()).decode()
        settings[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: Basic {key}"
    told = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if "SSL_CERT_FILE" in os.environ:
        told["GIT_SSL_CAINFO"] = os.environ["SSL_CERT_FILE"]
    told |= {
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        told |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return told


def protocol(url: str) -> str:
    """The one protocol that an address asks for. Raises ValueError for any that could run programs."""
    if url.startswith(("/", "file://")):
        return "file"
    if SCP_LIKE.fullmatch(url):
        return "ssh"
    scheme = urlsplit(url).scheme
    if scheme in ("https", "http", "ssh") and urlsplit(url).hostname:
        return scheme
    raise ValueError(f"{url!r} is no https, http or ssh address and no absolute path")


def without_password(url: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(url) if "://" in url else None
    if parts is None or parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
