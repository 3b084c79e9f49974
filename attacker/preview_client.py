"""Asks the edge's preview for the model's inputs, over and over, on a thread of its own."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import httpx

from siftfunnel.attacker.preview import MAX_PREVIEW_BYTES, PreviewError, PreviewState, Truth, read_batch
from siftfunnel.shared.showing import without_credentials

RETRY_FIRST_S = 0.1
RETRY_LAST_S = 0.5
STOP_S = 0.5
TIMEOUT = httpx.Timeout(5.0, read=20.0)
PLAIN = {"Accept-Encoding": "identity"}


class PreviewClient:
    """A long-polling client that survives an edge that is not there yet, goes away, or comes back anew."""

    def __init__(self, url: str) -> None:
        """`url` is the preview's root, such as http://127.0.0.1:8090."""
        self._url = url.rstrip("/")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._http = httpx.Client(timeout=TIMEOUT, trust_env=False)
        shown = without_credentials(self._url)
        self._state = PreviewState(shown, "waiting", f"waiting for the edge's preview at {shown}")
        self._session: str | None = None
        self._cursor = 0

    def start(self, on_truth: Callable[[Truth], None]) -> None:
        """Begin to poll; every input goes to `on_truth`, on the client's thread."""
        self._thread = threading.Thread(target=self._run, args=(on_truth,), name="preview", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling. A long poll under way is not waited for: its thread is a daemon and ends with it."""
        self._stopping.set()
        self._http.close()
        if self._thread is not None:
            self._thread.join(timeout=STOP_S)

    def state(self) -> PreviewState:
        """How the preview is doing now."""
        return self._state

    def _run(self, on_truth: Callable[[Truth], None]) -> None:
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                self._poll(on_truth)
                pause_s = RETRY_FIRST_S
            except (httpx.HTTPError, httpx.InvalidURL, PreviewError, RuntimeError, OSError) as error:
                if self._stopping.is_set():
                    return
                if isinstance(error, httpx.ConnectError):
                    # That edge process is gone; the next one counts anew.
                    self._session, self._cursor = None, 0
                reason = without_credentials(str(error)) or type(error).__name__
                detail = f"the edge's preview at {self._state.url}: {reason}"
                self._state = replace(self._state, phase="waiting", detail=detail)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, RETRY_LAST_S)

    def _fetch(self) -> bytes:
        body = bytearray()
        question = {"after": self._cursor}
        with self._http.stream("GET", f"{self._url}/inputs", params=question, headers=PLAIN) as answer:
            answer.raise_for_status()
            for part in answer.iter_raw():
                body += part
                if len(body) > MAX_PREVIEW_BYTES:
                    raise PreviewError(f"an answer of more than {MAX_PREVIEW_BYTES} bytes")
        return bytes(body)

    def _poll(self, on_truth: Callable[[Truth], None]) -> None:
        try:
            batch = read_batch(json.loads(self._fetch()))
        except (UnicodeDecodeError, ValueError) as error:
            raise PreviewError(f"not what a preview answers: {error}") from None
        renewed = self._session is not None and batch.session != self._session
        self._session = batch.session
        if renewed and self._cursor > 0:
            # The cursor belonged to the edge process before this one.
            self._cursor = 0
            return
        self._cursor = batch.cursor
        self._state = replace(
            self._state,
            phase="connected",
            detail="receiving the model's inputs",
            frames=self._state.frames + len(batch.frames),
            missed=self._state.missed + batch.missed,
        )
        for truth in batch.frames:
            on_truth(truth)
