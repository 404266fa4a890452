"""A real bucket under a test's control: fake-gcs-server over HTTP, and a proxy before it that fails as networks do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from evergreen.local import gcs


class Bucket:
    """Puts and deletes objects by the JSON API."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self._ask("POST", "/storage/v1/b?project=test", json.dumps({"name": name}).encode(), "application/json")

    def put(self, name: str, content: bytes, encoding: str = "") -> int:
        """Write an object; its generation."""
        query = f"uploadType=media&name={quote(name, '')}" + (f"&contentEncoding={encoding}" if encoding else "")
        answer = self._ask("POST", f"/upload/storage/v1/b/{self.name}/o?{query}", content, "application/octet-stream")
        return int(json.loads(answer)["generation"])

    def delete(self, name: str) -> None:
        self._ask("DELETE", f"/storage/v1/b/{self.name}/o/{quote(name, '')}")

    def read(self, name: str) -> bytes:
        """The content of an object."""
        return self._ask("GET", f"/download/storage/v1/b/{self.name}/o/{quote(name, '')}?alt=media")

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """Every object whose name begins so: the rest of its name to its content."""
        found = json.loads(self._ask("GET", f"/storage/v1/b/{self.name}/o?prefix={quote(prefix, '')}"))
        names = [item["name"] for item in found.get("items", [])]
        return {name.removeprefix(prefix): self.read(name) for name in names}

    def _ask(self, method: str, path: str, content: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(self.url + path, content, {"Content-Type": kind}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return bytes(answer.read())


@contextmanager
def gcs_server(folder: Path, port: int, seed: Path | None = None) -> Iterator[str]:
    """Run fake-gcs-server on files in `folder`, or in memory with what `seed` has; give its address once it answers."""
    place = ["filesystem", "-filesystem-root", str(folder)] if seed is None else ["memory", "-data", str(seed)]
    command = gcs.server_command(port, "-backend", *place)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if b"server started" in line:
                break
        else:
            raise AssertionError("fake-gcs-server did not start")
        threading.Thread(target=deque, args=(server.stdout, 0), daemon=True).start()
        yield gcs.endpoint(port)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


class Proxy:
    """Hands connections on to a port, one request each, and fails where `fault` says so.

    `fault` gets the request's first line and says: nothing, a status to answer with instead, or `cut:<bytes>` to hang
    up after so many bytes of the answer.
    """

    def __init__(self, port: int) -> None:
        self.fault: Callable[[str], str] = lambda line: ""
        self.lines: list[str] = []
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            head, end, body = head.partition(b"\r\n\r\n")
            head += end
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            while len(body) < int(length[1] if length else 0):
                body += client.recv(65536)
            line = head.partition(b"\r\n")[0].decode()
            self.lines.append(line + "".join(re.findall(r"(?i)\r\n(range: [^\r]+)", head.decode())))
            fault = self.fault(line)
            if fault and not fault.startswith("cut"):
                client.sendall(f"HTTP/1.1 {fault} Sorry\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            server.sendall(
                re.sub(rb"(?i)\r\nconnection: [^\r]+", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                + body
            )
            left = int(fault.partition(":")[2]) if fault else None
            while left is None or left > 0:
                data = server.recv(65536)
                if not data:
                    return
                try:
                    client.sendall(data[:left])
                except OSError:
                    return  # the client has read enough
                left = None if left is None else left - len(data)
