"""The opt-in preview: what the model saw, for those who score a reconstruction against it.

It shows private pictures to whoever can reach the address. It is off unless asked for, loud about
being on, and bound to this machine unless that is waived. Standard-library HTTP; see docs/design.md.
"""

import base64
import contextlib
import hmac
import json
import secrets
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.settings import PreviewConfig
from siftfunnel.shared.hosts import names_this_machine
from siftfunnel.shared.ports import why_not_listening

_POLL_S = 10.0
_LOOK_EVERY_S = 0.05
"""Whether to stop."""
_FRAMES_PER_ANSWER = 64
_PIXEL_BYTES_PER_ANSWER = 1_000_000
_CONNECTIONS = 16
"""At once: each holds a thread and, while it is written, an answer. More are asked to come back later."""
_COME_BACK = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Input:
    """One model input as `/inputs` tells it; `pixels_HWC` is uint8 RGB."""

    number: int
    sequence: int
    digest: str
    time_s: float
    label: str | None
    pixels_HWC: NDArray[np.uint8]
    payload_crc32: int

    def as_json(self) -> dict[str, Any]:
        """See docs/design.md."""
        height, width, _ = self.pixels_HWC.shape
        return {
            "sequence": self.sequence,
            "digest": self.digest,
            "time_s": self.time_s,
            "label": self.label,
            "payload_crc32": self.payload_crc32,
            "height": height,
            "width": width,
            "pixels_b64": base64.b64encode(self.pixels_HWC.tobytes()).decode("ascii"),
        }


class InputRing:
    """The latest model inputs, bounded by their size; readers follow with a cursor.

    Args:
        memory_bytes: pixels kept; the newest input is kept whatever its size.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._kept_bytes = 0
        self._newest = 0
        self._confirmed = 0
        self._inputs: deque[Input] = deque()
        self._changed = threading.Condition()
        self.session = secrets.token_hex(8)

    def publish(
        self,
        digest: str,
        sequence: int,
        label: str | None,
        pixels_HWC: NDArray[np.uint8],
        payload: bytes = b"",
    ) -> None:
        """Add an input and let go of the oldest ones beyond the memory; `payload` is what is sent of it."""
        payload_crc32 = zlib.crc32(payload)
        with self._changed:
            self._newest += 1
            self._inputs.append(
                Input(self._newest, sequence, digest, time.time(), label, pixels_HWC, payload_crc32)
            )
            self._kept_bytes += pixels_HWC.nbytes
            while self._kept_bytes > self._memory_bytes and len(self._inputs) > 1:
                self._kept_bytes -= self._inputs.popleft().pixels_HWC.nbytes
            self._changed.notify_all()

    def read(self, after: int, timeout_s: float) -> dict[str, Any]:
        """What came after a cursor, as `/inputs` answers; waits where there is nothing yet.

        A cursor from another session is beyond the newest input and reads from the oldest one kept.
        """
        with self._changed:
            if after > self._newest:
                after = 0
            self._confirmed = max(self._confirmed, after)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._newest > after, timeout_s)
            fresh = self._answerable(after)
        cursor = fresh[-1].number if fresh else after
        missed = fresh[0].number - after - 1 if fresh else 0
        frames = [each.as_json() for each in fresh]
        return {"session": self.session, "cursor": cursor, "missed": missed, "frames": frames}

    def _answerable(self, after: int) -> list[Input]:
        """What one answer holds: the oldest inputs after a cursor, bounded by number and size."""
        fresh: list[Input] = []
        size_bytes = 0
        for each in self._inputs:
            size_bytes += each.pixels_HWC.nbytes if each.number > after else 0
            if len(fresh) == _FRAMES_PER_ANSWER or (fresh and size_bytes > _PIXEL_BYTES_PER_ANSWER):
                break
            if each.number > after:
                fresh.append(each)
        return fresh

    def wait_until_read(self, timeout_s: float) -> bool:
        """Wait until a reader came back with the newest cursor, so that it has everything."""
        with self._changed:
            return self._changed.wait_for(lambda: self._confirmed >= self._newest, timeout_s)


class PreviewServer:
    """Serves `/inputs` and `/healthz` from threads of its own.

    Args:
        config: where and how much.
        warn: told, once, that private pictures can be seen there.

    Raises:
        OSError: the address is taken or not of this machine; the text names it.
    """

    def __init__(self, config: PreviewConfig, warn: Callable[[str], None]) -> None:
        self.ring = InputRing(config.memory_bytes)
        self._linger_s = config.linger_s
        if config.anywhere and not config.anyone and not config.token:
            config = replace(config, token=secrets.token_urlsafe(18))
        host, handler = config.address.host, _handler(self.ring, config)
        server_class = _Server6 if ":" in host else _Server
        try:
            self._server = server_class((host, config.address.port), handler)
        except OSError as error:
            raise OSError(error.errno, f"--preview {config.address}: {why_not_listening(error)}") from None
        self.address = str(config.address.with_port(self._server.server_address[1]))
        audience = "anyone who can reach it" if config.anywhere else "any program on this machine"
        if config.token is not None:
            audience = f"who shows its token (http://:{config.token}@{self.address})"
        warn(
            f"WARNING: the preview at http://{self.address}/inputs shows every private picture that this "
            f"device sees, unencrypted, to {audience}; it is meant for demonstrations"
        )
        serve = partial(self._server.serve_forever, poll_interval=_LOOK_EVERY_S)
        self._thread = threading.Thread(target=serve, name="edge-preview", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give a reader the chance to fetch the last inputs, then stop."""
        self.ring.wait_until_read(self._linger_s)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    address_family = AF_INET
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection on a thread of its own, or turn it away where there are too many."""
        if not self._room.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(_COME_BACK)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a reader that goes away in the middle is no news."""


class _Server6(_Server):
    address_family = AF_INET6


def _shows(authorization: str | None, token: str) -> bool:
    """Whether a header shows a token: as a bearer's, or as the password in the address that was asked for."""
    scheme, _, told = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            told = base64.b64decode(told, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    return hmac.compare_digest(told.strip().encode(), token.encode())


def _handler(ring: InputRing, config: PreviewConfig) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # one that sends half a request gives its room back
        timeout = 10.0

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if not names_this_machine(self.headers.get("Host"), config.names, config.anywhere):
                # a web page could point a name of its own at 127.0.0.1 and read along
                known = "an address, or a name given with --preview-name" if config.anywhere else "127.0.0.1"
                self._answer(403, {"error": f"ask for this machine by localhost or {known}"})
            elif url.path == "/healthz":
                self._answer(200, {"status": "ok", "session": ring.session})
            elif config.token is not None and not _shows(self.headers.get("Authorization"), config.token):
                self._answer(401, {"error": "show the token: http://:TOKEN@HOST:PORT, as the device told it"})
            elif url.path != "/inputs":
                self._answer(404, {"error": "there are /inputs?after=CURSOR and /healthz"})
            else:
                after = parse_qs(url.query).get("after", ["0"])[0]
                if after.isascii() and after.isdigit() and len(after) < 19:
                    self._answer(200, ring.read(int(after), _POLL_S))
                else:
                    self._answer(400, {"error": "after: a cursor is a whole number from an earlier answer"})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the terminal for the answers."""

    return Handler
