"""toxiproxy-python 0.1.1, a client of Shopify's Toxiproxy, drives `doorfleet-sim proxy`.

What it orders is then looked for on real sockets, before an echo server of this script.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kit import kit
from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from toxiproxy.proxy import Proxy

SOON_S = 10
PROGRAM = str(Path(os.environ["INTEROP_PYTHON"]).with_name("doorfleet-sim"))


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Our proxy as a program, and where its API listens: host:port."""
    command = [PROGRAM, "proxy", "--api", "0", "--json", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield url.removeprefix("http://")
        finally:
            process.terminate()
            assert process.wait(SOON_S) == 0


def echo() -> str:
    """A server that says everything back: host:port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(65_536):
                peer.sendall(data)

    def listen() -> None:
        while True:
            peer = listening.accept()[0]
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    return f"127.0.0.1:{listening.getsockname()[1]}"


class Web(BaseHTTPRequestHandler):
    """Says that all is well."""

    def do_GET(self) -> None:
        """One request."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def connect(proxy: Proxy) -> socket.socket:
    """A client of the proxy."""
    host, _, port = proxy.listen.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=SOON_S)


def said(client: socket.socket) -> bytes:
    """All until the end."""
    found = b""
    while data := client.recv(65_536):
        found += data
    return found


def echoed_s(proxy: Proxy, size: int = 1) -> float:
    """How long it takes until so many bytes are back, on a connection of their own."""
    began_s = time.monotonic()
    with connect(proxy) as client:
        client.sendall(bytes(size))
        client.shutdown(socket.SHUT_WR)
        assert len(said(client)) == size
    return time.monotonic() - began_s


def makes_and_lists(server: Toxiproxy, upstream: str) -> None:
    """Proxies: made, found, populated, gone."""
    with kit.check("it is there, and says its version"):
        assert server.running()
        assert json.loads(server.version())["version"].startswith("2.")

    with kit.check("it makes a proxy, which carries bytes"):
        proxy = server.create(upstream=upstream, name="echo")
        assert proxy.enabled
        assert not proxy.listen.endswith(":0")
        assert echoed_s(proxy, 100_000) < SOON_S

    with kit.check("it lists and finds proxies"):
        assert server.get_proxy("echo").upstream == upstream
        assert server.get_proxy("nobody") is None
        assert set(server.proxies()) == {"echo"}

    with kit.check("a second proxy of that name is refused"), kit.refused(ProxyExists):
        server.create(upstream=upstream, name="echo")

    with kit.check("it populates: what is there stays, another upstream replaces"):
        listen = server.get_proxy("echo").listen
        wanted = {"name": "echo", "listen": listen, "upstream": upstream}
        new = {"name": "new", "listen": "127.0.0.1:0", "upstream": upstream}
        assert [each.name for each in server.populate([wanted, new])] == ["new"]
        (again,) = server.populate([{**wanted, "upstream": "127.0.0.1:1"}])
        assert (again.listen, again.upstream) == (listen, "127.0.0.1:1")
        server.populate([wanted])
        assert server.get_proxy("echo").upstream == upstream

    with kit.check("it destroys a proxy, and then there is none"):
        gone = server.get_proxy("new")
        server.destroy(gone)
        assert server.get_proxy("new") is None
        with kit.refused(ConnectionRefusedError):
            connect(gone)
        with kit.refused(NotFound):
            gone.toxics()


def goes_down(server: Toxiproxy) -> None:
    """Proxies that are down, and up again."""
    proxy = server.get_proxy("echo")
    with kit.check("a proxy that is down refuses, drops who is there, and comes back"):
        with connect(proxy) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            with proxy.down():
                assert client.recv(1) == b""
                with kit.refused(ConnectionRefusedError):
                    connect(proxy)
        assert echoed_s(proxy) < SOON_S

    with kit.check("reset takes all toxics away and lets every proxy listen"):
        proxy.add_toxic(type="timeout")
        proxy.disable()
        server.reset()
        assert server.get_proxy("echo").enabled
        assert proxy.toxics() == {}
        assert echoed_s(proxy) < SOON_S


def poisons(proxy: Proxy) -> None:
    """Every toxic that both have, seen on a socket."""
    with kit.check("latency: it is seen, listed, and gone when it is destroyed"):
        proxy.add_toxic(type="latency", attributes={"latency": 600, "jitter": 10})
        assert echoed_s(proxy) >= 0.58
        toxic = proxy.get_toxic("latency_downstream")
        assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1.0)
        assert toxic.attributes == {"latency": 600, "jitter": 10}
        proxy.destroy_toxic("latency_downstream")
        assert proxy.get_toxic("latency_downstream") is None
        assert echoed_s(proxy) < 0.58

    with poisoned(proxy, "bandwidth", "upstream", rate=100):
        assert 0.4 <= echoed_s(proxy, 50_000) < SOON_S

    with poisoned(proxy, "slow_close", "upstream", delay=400):
        assert 0.39 <= echoed_s(proxy) < SOON_S

    with poisoned(proxy, "timeout", timeout=300), connect(proxy) as client:
        began_s = time.monotonic()
        client.sendall(b"x")
        assert said(client) == b""
        assert 0.25 <= time.monotonic() - began_s < SOON_S

    with poisoned(proxy, "slicer", average_size=10, size_variation=5, delay=1000):
        assert echoed_s(proxy, 1000) >= 0.05

    with poisoned(proxy, "limit_data", bytes=7), connect(proxy) as client:
        client.sendall(b"0123456789")
        assert said(client) == b"0123456"

    with poisoned(proxy, "reset_peer", timeout=50), connect(proxy) as client:
        client.sendall(b"x")
        with kit.refused(ConnectionResetError):
            said(client)

    with kit.check("a toxicity strikes a share of the connections"):
        proxy.add_toxic(type="limit_data", toxicity=0.5, attributes={"bytes": 0})
        struck = 0
        for _ in range(40):
            with connect(proxy) as client:
                client.sendall(b"x")
                struck += client.recv(1) == b""
        assert 5 < struck < 35, struck
        proxy.destroy_toxic("limit_data_downstream")

    with kit.check("an unknown toxic is the client's own error"), kit.refused(InvalidToxic):
        proxy.add_toxic(type="nonsense")

    with kit.check("an unknown attribute is the client's own error"), kit.refused(InvalidToxic):
        proxy.add_toxic(type="latency", attributes={"latncy": 5})

    with kit.check("a second toxic of that name is the client's own error"):
        proxy.add_toxic(type="latency")
        with kit.refused(ProxyExists):  # it has one class for every 409
            proxy.add_toxic(type="latency")
        proxy.destroy_toxic("latency_downstream")


@contextlib.contextmanager
def poisoned(
    proxy: Proxy, kind: str, stream: str = "downstream", **attributes: int
) -> Iterator[None]:
    """A check with this toxic at work, and taken away in the end."""
    with kit.check(f"{kind}: it is seen on a socket"):
        proxy.add_toxic(type=kind, stream=stream, attributes=attributes)
        try:
            yield
        finally:
            proxy.destroy_toxic(f"{kind}_{stream}")


def main() -> None:
    """All checks, one after the other."""
    with served() as address:
        server = Toxiproxy()
        host, _, port = address.partition(":")
        server.update_api_consumer(host, int(port))
        makes_and_lists(server, echo())
        goes_down(server)
        poisons(server.get_proxy("echo"))

        with kit.check("it adds a toxic that Toxiproxy does not have: 429 without the server"):
            web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
            threading.Thread(target=web.serve_forever, daemon=True).start()
            proxy = server.create(upstream=f"127.0.0.1:{web.server_port}", name="web")
            proxy.add_toxic(type="http_answer", stream="upstream", attributes={"status": 429})
            with kit.refused(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{proxy.listen}/", timeout=SOON_S)
            proxy.destroy_toxic("http_answer_upstream")
            with urllib.request.urlopen(f"http://{proxy.listen}/", timeout=SOON_S) as reply:
                assert reply.status == 200
            web.shutdown()

        with kit.check("it destroys all proxies"):
            server.destroy_all()
            assert server.proxies() == {}


if __name__ == "__main__":
    main()
