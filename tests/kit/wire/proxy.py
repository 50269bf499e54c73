"""A real HTTP proxy on loopback: it forwards plain requests and opens tunnels, and remembers for whom."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from kit.patience import PATIENCE


class Proxy:
    """Forwards to wherever a request says; with *login*, a name and a password, only for who has it.

    *ports* leads a host to a port of this machine, as the name service of a company would.

    *targets* are the first lines of the requests without the HTTP version: `"CONNECT host:port"`, or the
    method and an absolute URL.
    """

    def __init__(self, login: str | None = None, ports: Mapping[str, int] | None = None) -> None:
        self._login, self._ports = login, ports or {}
        self.targets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Close everything and end every thread."""
        for sock in [self._listener, *self._sockets]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread of the proxy did not end"

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True, name="wire")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                self._start(self._serve, sock)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError):
            reader = client.makefile("rb")
            while start := reader.readline().decode("latin-1").strip():
                headers = _read_headers(reader)
                method, target, _ = start.split(" ")
                self.targets.append(f"{method} {target}")
                self.headers.append(headers)
                body = reader.read(int(headers.get("content-length", 0)))
                if not self._is_allowed(headers):
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                elif method == "CONNECT":
                    self._tunnel(client, target)
                    break
                else:
                    self._forward(client, method, target, headers, body)
                    break

    def _is_allowed(self, headers: dict[str, str]) -> bool:
        if self._login is None:
            return True
        wanted = base64.b64encode(self._login.encode()).decode()
        return headers.get("proxy-authorization") == f"Basic {wanted}"

    def _tunnel(self, client: socket.socket, target: str) -> None:
        host, _, port = target.rpartition(":")
        server = self._connect(host, int(port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._start(_copy, server, client)
        _copy(client, server)

    def _forward(
        self, client: socket.socket, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        url = urlsplit(target)
        server = self._connect(str(url.hostname), url.port or 80)
        kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
        lines = [f"{method} {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
        server.sendall("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + body)
        server.shutdown(socket.SHUT_WR)
        with server.makefile("rb") as answer:
            # Told that this connection ends, the client does not send its next request into it.
            client.sendall(answer.readline() + b"connection: close\r\n")
            while data := answer.read1():
                client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    def _connect(self, host: str, port: int) -> socket.socket:
        here = ("127.0.0.1", self._ports[host]) if host in self._ports else (host, port)
        server = socket.create_connection(here)
        self._sockets.append(server)
        return server


def _read_headers(reader: object) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := reader.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
