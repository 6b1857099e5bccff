"""The systems that ours is measured against, each in a process of its own on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from programs import CACHE, binary, example_server

# What the servers of llama-cpp-python need beside what we have.
SERVER_EXTRAS = (
    "sse-starlette>=1.6.1",
    "starlette-context>=0.3.6,<0.4",
    "openai",
    "safetensors",
    "websockets",
)
# Our build leaves the library for pictures out; the example imports it whether or not a model sees.
WITHOUT_PICTURES = """
import runpy, sys, types
sys.modules["llama_cpp.mtmd_cpp"] = types.ModuleType("llama_cpp.mtmd_cpp")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
START_TIMEOUT_S = 300.0

Segments = Sequence[tuple[Sequence[int], bool]]


class Server:
    """A peer in a process of its own, on a free port; a context manager. `stream` is load.System's."""

    def __init__(self, command: Sequence[str], port: int, *, ready: str) -> None:
        self.log = tempfile.NamedTemporaryFile(prefix="peer-", suffix=".log")  # noqa: SIM115
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.http = httpx.Client(base_url=self.url, timeout=600)
        try:
            self._wait(ready)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and everything that belongs to it."""
        self.http.close()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    async def stream(self, segments: Segments, n_predict: int) -> AsyncIterator[float]:
        """The time of each token of the answer to the segments, one behind the other."""
        prompt = [token for tokens, _ in segments for token in tokens]
        async with contextlib.aclosing(self.tokens(prompt, n_predict)) as answer:
            async for moment, _ in answer:
                yield moment

    def tokens(self, prompt: list[int], n_predict: int) -> AsyncGenerator[tuple[float, list[int]], None]:
        """Time and tokens of each event."""
        raise NotImplementedError

    async def _events(
        self, path: str, body: dict[str, Any]
    ) -> AsyncGenerator[tuple[float, dict[str, Any]], None]:
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=600) as http,
            http.stream("POST", path, json=body) as response,
        ):
            if response.status_code != 200:
                raise RuntimeError(f"{path}: {response.status_code} {(await response.aread())[:300]!r}")
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield time.perf_counter(), json.loads(line[6:])

    def _wait(self, ready: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.http.get(ready).status_code == 200:
                    return
            time.sleep(0.1)
        tail = "\n".join(Path(self.log.name).read_text(errors="replace").splitlines()[-15:])
        raise RuntimeError(f"a peer did not start; the end of its log:\n{tail}")


class LlamaServer(Server):
    """llama-server. `n_ctx` is what all slots share; with `unified` off each has its part of it."""

    def __init__(
        self,
        model: Path,
        *,
        n_ctx: int = 8192,
        slots: int = 4,
        flash: bool = False,
        threads: int = 0,
        batch: int = 2048,
        ubatch: int = 512,
        unified: bool = False,
        cache_reuse: int = 0,
        repack: bool = True,
        extra: Sequence[str] = (),
    ) -> None:
        port = free_port()
        count = str(threads or len(os.sched_getaffinity(0)))
        command = [str(binary("llama-server")), "-m", str(model), "--port", str(port), "--no-webui"]
        command += ["-c", str(n_ctx), "-np", str(slots), "-fa", "on" if flash else "off"]
        command += ["-t", count, "-tb", count, "-b", str(batch), "-ub", str(ubatch)]
        command += ["-kvu" if unified else "-no-kvu", "--cache-reuse", str(cache_reuse)]
        command += ["--repack" if repack else "--no-repack", *extra]
        super().__init__(command, port, ready="/health")

    async def tokens(
        self, prompt: list[int], n_predict: int
    ) -> AsyncGenerator[tuple[float, list[int]], None]:
        body = {"prompt": prompt, "n_predict": n_predict, "stream": True, "temperature": 0}
        body |= {"cache_prompt": True, "ignore_eos": True, "return_tokens": True}
        async for moment, event in self._events("/completion", body):
            if event.get("tokens"):
                yield moment, event["tokens"]

    def tokenise(self, text: str) -> list[int]:
        """Tokens of ordinary text."""
        body = {"content": text, "add_special": False, "parse_special": False}
        found: list[int] = self.http.post("/tokenize", json=body).raise_for_status().json()["tokens"]
        return found


class PythonServer(Server):
    """`python -m llama_cpp.server`, one request at a time. It takes text: prompts may differ a little.

    `banned`: tokens that may not be said, so that an answer does not end early.
    """

    def __init__(
        self,
        model: Path,
        *,
        n_ctx: int = 8192,
        flash: bool = False,
        threads: int = 0,
        banned: Sequence[int] = (),
        extra: Sequence[str] = (),
    ) -> None:
        self.banned = {str(token): -100.0 for token in banned}
        port, count = free_port(), str(threads or len(os.sched_getaffinity(0)))
        command = [str(server_python()), "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
        command += ["--n_ctx", str(n_ctx), "--flash_attn", str(flash), "--interrupt_requests", "False"]
        command += ["--n_threads", count, "--n_threads_batch", count, "--logits_all", "False"]
        super().__init__([*command, "--host", "127.0.0.1", *extra], port, ready="/v1/models")

    async def tokens(
        self, prompt: list[int], n_predict: int
    ) -> AsyncGenerator[tuple[float, list[int]], None]:
        text = self.http.post("/extras/detokenize", json={"tokens": prompt}).raise_for_status().json()["text"]
        body = {"prompt": text, "max_tokens": n_predict, "stream": True, "temperature": 0}
        async for moment, event in self._events("/v1/completions", body | {"logit_bias": self.banned}):
            if event["choices"][0]["finish_reason"] is None:
                yield moment, []


class ExampleServer(Server):
    """The batching server of llama-cpp-python's examples, which shares `n_ctx` cells among all sequences."""

    def __init__(
        self,
        model: Path,
        *,
        n_ctx: int = 8192,
        slots: int = 4,
        flash: bool = False,
        threads: int = 0,
        batch: int = 512,
        banned: Sequence[int] = (),
        **options: Any,
    ) -> None:
        self.banned = {str(token): -100.0 for token in banned}
        port, count = free_port(), threads or len(os.sched_getaffinity(0))
        chosen = {"path": str(model), "n_ctx": n_ctx, "n_seq_max": slots, "n_batch": batch, "n_ubatch": batch}
        chosen |= {"threads": count, "threads_batch": count, "flash_attn": flash, "store_logits": False}
        config = {"server": {"host": "127.0.0.1", "port": port}, "model": chosen | options}
        self.config = tempfile.NamedTemporaryFile("w", prefix="peer-", suffix=".json")  # noqa: SIM115
        json.dump(config, self.config)
        self.config.flush()
        command = [
            str(server_python()),
            "-c",
            WITHOUT_PICTURES,
            str(example_server()),
            "-C",
            self.config.name,
        ]
        super().__init__(command, port, ready="/healthz")

    def close(self) -> None:
        super().close()
        self.config.close()

    async def tokens(
        self, prompt: list[int], n_predict: int
    ) -> AsyncGenerator[tuple[float, list[int]], None]:
        body = {"prompt": prompt, "max_tokens": n_predict, "stream": True, "temperature": 0}
        async for moment, event in self._events("/v1/completions", body | {"logit_bias": self.banned}):
            if event["choices"] and event["choices"][0]["finish_reason"] is None:
                yield moment, []


def server_python() -> Path:
    """A Python that sees our packages and has SERVER_EXTRAS; its environment lies in the cache."""
    key = hashlib.sha256(" ".join(SERVER_EXTRAS).encode()).hexdigest()[:8]
    folder = CACHE / f"server-venv-{key}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        [theirs] = folder.glob("lib/*/site-packages")
        (theirs / "permafrost.pth").write_text(ours + "\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *SERVER_EXTRAS], check=True)
        (folder / "ready").touch()
    return python


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
