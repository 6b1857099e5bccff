"""Where the visitor of web sites may connect to, and where not."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from ingest.sources.egress import GuardedTransport
from rag.errors import SourceError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    transport = GuardedTransport(resolve=lambda host, port: [address])
    with pytest.raises(SourceError, match="not a public address; allow_private"):
        transport.addresses("evil.example", 80)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_open(address: str) -> None:
    assert GuardedTransport(resolve=lambda host, port: [address]).addresses("h", 80) == [address]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "localhost", "127.1"])
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with httpx.Client(transport=GuardedTransport(), trust_env=False) as client, pytest.raises(SourceError):
        client.get(f"http://{host}:1/")


def test_an_allowance_is_for_that_host_or_network_only() -> None:
    transport = GuardedTransport(["wiki.corp", "10.8.0.0/16"], resolve=lambda host, port: ["10.9.0.1"])
    assert transport.addresses("WIKI.corp", 80) == ["10.9.0.1"]
    with pytest.raises(SourceError):
        transport.addresses("other.corp", 80)
    assert transport.allows("other.corp", ipaddress.ip_address("10.8.3.3"))
    # A name may be pointed anywhere; the keys of a cloud machine need an allowance of their own.
    assert not transport.allows("wiki.corp", ipaddress.ip_address("169.254.169.254"))


def test_of_several_addresses_only_the_public_ones_are_used() -> None:
    both = GuardedTransport(resolve=lambda host, port: ["10.0.0.1", "8.8.8.8"])
    assert both.addresses("h", 80) == ["8.8.8.8"]


def test_a_name_that_changes_between_check_and_use_is_resolved_once(site: object) -> None:
    port, resolved = site.port, []  # type: ignore[attr-defined]

    def rebinding(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"] if len(resolved) == 1 else ["10.255.255.1"]

    with httpx.Client(transport=GuardedTransport(["good.example"], resolve=rebinding)) as client:
        assert client.get(f"http://good.example:{port}/").status_code == 404
    assert resolved == ["good.example"]
    assert site.asked[0][1]["host"] == f"good.example:{port}"  # type: ignore[attr-defined]


def test_a_redirect_to_the_inside_is_refused(site: object) -> None:
    site.answers["/"] = (302, {"location": "http://169.254.169.254/latest/meta-data/"}, b"")  # type: ignore[attr-defined]
    transport = GuardedTransport(["127.0.0.1"])
    with (
        httpx.Client(transport=transport, follow_redirects=True, trust_env=False) as client,
        pytest.raises(SourceError, match="169.254.169.254"),
    ):
        client.get(site.url)  # type: ignore[attr-defined]


def test_certificates_are_checked_for_the_name_and_not_for_the_address(
    certificate: tuple[Path, Path],
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        transport = GuardedTransport(
            ["localhost", "other.example"], resolve=lambda host, port: ["127.0.0.1"], verify=trusting
        )
        with httpx.Client(transport=transport, trust_env=False) as client:
            port = server.server_address[1]
            assert client.get(f"https://localhost:{port}/").status_code == 204
            with pytest.raises(httpx.ConnectError, match="certificate"):
                client.get(f"https://other.example:{port}/")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
