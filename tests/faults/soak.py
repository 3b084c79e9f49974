"""A server under load, faults and coming and going clients for as long as one likes; is its memory flat?

python -m tests.faults.soak --minutes 30 --out tests/faults/soak.json
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.bench.children import Child, announced, cloud_command
from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.settings import ClientSettings, ReconnectPolicy, WindowPolicy
from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import pixels
from tests.faults.test_http2_abuse import ABUSES, attack
from tests.faults.toxics import Toxic, ToxicRelay, relaying
from tests.tinybundle import make_tiny_bundle

DEVICES = 4
FRAMES_PER_STREAM = 200
SAMPLE_S = 1.0
WARM_UP_SHARE = 0.2
TOXICS = (
    Toxic(latency_ms=3, jitter_ms=3),
    Toxic(rate_kb_s=500),
    Toxic(slice_bytes=50),
    Toxic(timeout_ms=50),
    Toxic(reset_ms=0),
    Toxic(most_bytes=20_000),
)
SETTINGS = ClientSettings(
    window=WindowPolicy(reply_timeout_s=1.0),
    reconnect=ReconnectPolicy(initial_ms=20, ceiling_ms=200, connect_timeout_s=60, stalls_max=10_000),
)


class Counts:
    """What became of the frames; added up from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered = self.wrong = self.failed = self.streams = 0

    def add(self, outcomes: list[Any], scores: list[float]) -> None:
        """Take the outcomes of one stream into account."""
        with self._lock:
            self.streams += 1
            for outcome in outcomes:
                if not isinstance(outcome, Answer):
                    self.failed += 1
                    continue
                right = abs(outcome.score - scores[outcome.sequence % FRAMES_PER_STREAM]) < 1e-5
                self.answered += right
                self.wrong += not right
            self.wrong += FRAMES_PER_STREAM - len({outcome.sequence for outcome in outcomes})


def soak(minutes: float) -> dict[str, Any]:
    """Run it; what was found as JSON values."""
    stop, counts = threading.Event(), Counts()
    pictures = [pixels(seed) for seed in range(FRAMES_PER_STREAM)]
    with tempfile.TemporaryDirectory() as scratch:
        bundle = make_tiny_bundle(Path(scratch) / "tiny")
        with announced(cloud_command([bundle.directory])) as server:
            port = int(server.address.rpartition(":")[2])
            with SplitClient(bundle, server.address) as client:
                scores = [answer.score for answer in client.stream(pictures) if isinstance(answer, Answer)]
            with relaying(port) as relay:
                threads = [
                    threading.Thread(target=_device, args=(bundle, relay, pictures, scores, counts, stop))
                    for _ in range(DEVICES)
                ]
                threads += [
                    threading.Thread(target=_spoil, args=(relay, stop)),
                    threading.Thread(target=_abuse, args=(port, stop)),
                ]
                for thread in threads:
                    thread.start()
                samples = _sampled(server, minutes)
                stop.set()
                for thread in threads:
                    thread.join()
                connections = relay.connections
    settled = np.array(samples[int(WARM_UP_SHARE * len(samples)) :]) / 2**20
    thirds = [float(part.mean()) for part in np.array_split(settled, 3)]
    return {
        "minutes": minutes,
        "devices": DEVICES,
        "frames_answered": counts.answered,
        "frames_failed": counts.failed,
        "frames_wrong_or_lost": counts.wrong,
        "streams": counts.streams,
        "connections": connections,
        "resident_mib": [round(each, 1) for each in settled[:: max(len(settled) // 60, 1)].tolist()],
        "resident_mib_thirds": [round(each, 2) for each in thirds],
        "growth_mib": round(thirds[2] - thirds[0], 2),
    }


def _sampled(server: Child, minutes: float) -> list[int]:
    samples, end_s = [], time.monotonic() + 60 * minutes
    while time.monotonic() < end_s:
        samples.append(server.resident_bytes())
        time.sleep(SAMPLE_S)
    return samples


def _device(
    bundle: Bundle,
    relay: ToxicRelay,
    pictures: list[Any],
    scores: list[float],
    counts: Counts,
    stop: threading.Event,
) -> None:
    """Streams of a fresh client each, one after the other."""
    for number in itertools.count():
        if stop.is_set():
            return
        first = number * FRAMES_PER_STREAM
        with SplitClient(
            bundle, f"127.0.0.1:{relay.port}", settings=SETTINGS, first_sequence=first
        ) as client:
            counts.add(list(client.stream(pictures)), scores)


def _spoil(relay: ToxicRelay, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        relay.toxics[random.choice(("upstream", "downstream"))] = random.choice(TOXICS)
        stop.wait(0.3)
        relay.toxics.clear()
        if random.random() < 0.1:
            relay.enabled = False
            stop.wait(0.3)
            relay.enabled = True


def _abuse(port: int, stop: threading.Event) -> None:
    for abuse in itertools.cycle(ABUSES):
        if stop.wait(2.0):
            return
        attack(port, abuse)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = json.dumps({"provenance": provenance(), **soak(args.minutes)}, indent=1)
    print(found)
    if args.out is not None:
        args.out.write_text(found + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
