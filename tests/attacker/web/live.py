"""The whole attacker behind a real page: pipeline, application and server, fed by hand."""

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from siftfunnel.attacker.pipeline import Pipeline
from siftfunnel.attacker.serving import listen
from siftfunnel.attacker.tap.events import Opaque, Traffic
from siftfunnel.attacker.targets import Targets
from siftfunnel.attacker.web.app import Face, make_app
from siftfunnel.attacker.web.hub import Hub
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from tests.attacker.scene import HandCamera, HandFeed, Scene, heard_frame, heard_reply

ARTIFACTS = Path(__file__).resolve().parents[3] / "artifacts"


def chromium() -> str:
    """Chromium's executable; without one the test is skipped, or fails where CI=true."""
    found = (
        os.environ.get("PLAYWRIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if found:
        return found
    reason = "no Chromium: install one (apt-get install chromium) or set PLAYWRIGHT_CHROMIUM"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class LivePage:
    """Serves the page on a free port until it is closed."""

    def __init__(self, scene: Scene, targets: Targets | None = None, control: str | None = None) -> None:
        self.scene = scene
        self.relay, self.cloud = (
            HandFeed("relay:50052:127.0.0.1:50051"),
            HandFeed("cloud:flows.jsonl", "cloud"),
        )
        self.camera, self.hub = HandCamera(), Hub()
        known = targets or scene.targets()
        feeds = {self.relay.name: self.relay, self.cloud.name: self.cloud}
        self.pipeline = Pipeline(known, feeds, self.hub.publish, self.camera)
        self.pipeline.start()
        self._listener = listen(Endpoint("127.0.0.1", 0))
        app = make_app(Face(known, self.hub, self.pipeline.summary, control))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()
        self._sequence = 0

    @property
    def url(self) -> str:
        """Where a browser looks."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def play(
        self,
        *bundles: Bundle,
        count: int = 1,
        tap: HandFeed | None = None,
        gap_s: float = 0.1,
        codec: str = "q6",
    ) -> None:
        """Let pictures pass, each through every bundle, with their originals and answers."""
        for _ in range(count):
            sequence = self.next_sequence()
            for place, bundle in enumerate(bundles):
                self._send(bundle, sequence, tap or self.relay, f"c{place}", codec)
            time.sleep(gap_s)

    def next_sequence(self) -> int:
        """The number of the next picture."""
        self._sequence += 1
        return self._sequence - 1

    def _send(self, bundle: Bundle, sequence: int, tap: HandFeed, connection: str, codec: str) -> None:
        picture = sequence % 3
        sent = self.scene.frame(bundle, sequence, picture, codec)
        self.camera.show(self.scene.truth(bundle, sequence, picture, bundle.manifest.classes[picture]))
        tap.tell(
            heard_frame(sent, bundle.digest, connection, time.time()),
            heard_reply(sequence, picture, connection, time.time()),
        )

    def play_encrypted(self, count: int = 1) -> None:
        """Let TLS records pass the relay."""
        for _ in range(count):
            for direction, size in (("up", 1400), ("down", 90)):
                sample = random.Random(size).randbytes(size)
                record = Opaque("c9", time.time(), direction, size, "tls", Traffic(), sample)
                self.relay.tell(record)

    def close(self) -> None:
        """Stop everything."""
        self.hub.close()
        self._server.should_exit = True
        self._thread.join()
        self.pipeline.stop()
        self._listener.close()
