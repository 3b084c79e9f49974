"""Taps in, books and pictures out: the threads between what is overheard and what is shown.

    feeds' threads --event--> Intake --exchange--> workshop thread --view--> publish(name, value)
    preview thread --truth--> TruthStore ---------------^

The intake runs on the feeds' own threads and is quick (parse, count, queue); nothing waits for an observer.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from siftfunnel.attacker.exchanges import Exchange
from siftfunnel.attacker.feeds.recorder import Recorder
from siftfunnel.attacker.gallery import Gallery
from siftfunnel.attacker.intake import Intake
from siftfunnel.attacker.ledger import Ledger, Similarity
from siftfunnel.attacker.outputs import learn
from siftfunnel.attacker.preview import NO_PREVIEW, PreviewClient, Truth, TruthStore
from siftfunnel.attacker.tap.events import Event, Feed, Opaque, Sink
from siftfunnel.attacker.targets import Target, Targets
from siftfunnel.attacker.views import camera_view, ciphertext_view, exchange_view
from siftfunnel.attacker.workshop import (
    Backlog,
    Picks,
    WaitingRoom,
    WorkshopConfig,
    decode_batch,
    invert_batch,
    score,
)

log = logging.getLogger(__name__)

Publish = Callable[[str, Mapping[str, Any]], None]

PICTURES_PER_S = 6.0
CAMERA_PER_S = 4.0
PROBLEMS_PER_S = 1.0
TICK_S = 0.05
LIVE = frozenset({"relay", "sniff"})


class Rate:
    """Says at most so many times a second that something may happen.

    >>> rate = Rate(2.0)
    >>> [rate.allows(now) for now in (0.0, 0.1, 0.6)]
    [True, False, True]
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """Whether enough time has passed since it last said yes."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._gap_s
        return True


class Pipeline:
    """Runs feeds, intake, reconstruction and scoring; `summary` is safe from any thread."""

    def __init__(
        self,
        targets: Targets,
        feeds: Mapping[str, Feed],
        publish: Publish,
        camera: PreviewClient | None = None,
        config: WorkshopConfig | None = None,
        recorder: Recorder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            targets: bundles, codecs and inverters.
            feeds: by name; the name is what the page and the summary call the tap.
            publish: receives named views: "frame", "camera", "ciphertext", "problem"; must not block.
            camera: where originals come from; None: nothing is scored.
            config: bounds.
            recorder: receives every event of the live feeds as well.
            clock: seconds, for waits and rates.
        """
        self._targets, self._feeds, self._publish = targets, dict(feeds), publish
        self._camera, self._recorder, self._clock = camera, recorder, clock
        self._config = config or WorkshopConfig()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ledger = Ledger()
        recordings = [name for name, feed in self._feeds.items() if feed.state().kind not in LIVE]
        self._intake = Intake(targets, self._ledger, self._queue, recordings)
        self._backlog = Backlog(self._config, Picks(PICTURES_PER_S), self._picture_bytes)
        self._truths = TruthStore()
        self._gallery = Gallery()
        self._waiting = WaitingRoom(self._config, self._truths.take if camera else None)
        self._in_hand = 0
        self._cameras = Rate(CAMERA_PER_S)
        self._ciphertexts, self._problems = Rate(CAMERA_PER_S), Rate(PROBLEMS_PER_S)
        self._thread = threading.Thread(target=self._run, name="workshop", daemon=True)

    def start(self) -> None:
        """Start everything; a feed that cannot start raises `FeedError` and stops what ran already."""
        if self._camera is not None:
            self._camera.start(self._truth)
        self._thread.start()
        try:
            for name, feed in self._feeds.items():
                feed.start(self.sink(name))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop feeds first, then finish what is queued as far as it can be finished at once."""
        for feed in self._feeds.values():
            feed.stop()
        if self._camera is not None:
            self._camera.stop()
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def sink(self, tap: str) -> Sink:
        """What the feed with this name calls for every event.

        Only live feeds are recorded: what a capture or the cloud tells lies in a file already, and would be
        there twice if the same wire is tapped too.
        """
        recorder = self._recorder if self._feeds[tap].state().kind in LIVE else None

        def take(event: Event) -> None:
            with self._lock:
                self._intake.take(tap, event)
            if recorder is not None:
                recorder(event)
            if isinstance(event, Opaque) and event.sample and event.direction == "up":
                self._show_ciphertext(tap, event)

        return take

    def _show_ciphertext(self, tap: str, record: Opaque) -> None:
        if self._ciphertexts.allows(self._clock()):
            self._publish("ciphertext", ciphertext_view(tap, record))

    def summary(self) -> dict[str, Any]:
        """The answer of `GET /summary`; final when `pending` is zero and the edge has stopped sending."""
        taps = [self._tap_json(name, feed) for name, feed in self._feeds.items()]
        with self._lock:
            books = self._ledger.as_json()
            pending = {"invert": len(self._backlog) + self._in_hand, "score": len(self._waiting)}
        return {
            "taps": taps,
            **books,
            "pending": pending,
            "preview": asdict(self._camera.state() if self._camera else NO_PREVIEW),
            "record": self._recorder.state() if self._recorder else None,
        }

    def _tap_json(self, name: str, feed: Feed) -> dict[str, Any]:
        state = asdict(feed.state())
        with self._lock:
            leftovers = self._intake.leftovers.get(name)
            state["leftovers"] = leftovers.as_json() if leftovers else None
        return {"name": name, **state}

    def _queue(self, exchange: Exchange) -> None:
        for gone in self._backlog.put(exchange, self._clock()):
            self._intake.tally(self._target(gone)).frames_skipped += 1
            gone.settle(None)
        self._wake.set()

    def _picture_bytes(self, exchange: Exchange) -> int:
        size = self._target(exchange).bundle.manifest.input
        return size.height * size.width * 3 * 4

    def _target(self, exchange: Exchange) -> Target:
        target = self._targets.get(exchange.digest)
        assert target is not None
        return target

    def _truth(self, truth: Truth) -> None:
        self._truths.put(truth)
        self._wake.set()
        if self._cameras.allows(self._clock()):
            self._publish("camera", camera_view(truth))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            self._work_on()
        self._work_on()

    def _work_on(self) -> None:
        try:
            self._work()
        except Exception as error:  # whatever it is, the attack goes on; what was in hand is lost, and told
            log.exception("the workshop stumbled")
            self._tell(f"some frames were lost: {error}")
            with self._lock:
                self._in_hand = 0

    def _work(self) -> None:
        while self._invert_some():
            self._settle_some()
        self._settle_some()

    def _invert_some(self) -> bool:
        with self._lock:
            batch = self._backlog.take()
            self._in_hand = len(batch)
        if not batch:
            return False
        target = self._target(batch[0])
        decoded, failed = decode_batch(target, batch)
        broken = self._invert(target, decoded)
        with self._lock:
            tally = self._intake.tally(target)
            tally.frames_failed += broken
            tally.frames_undecodable += len(failed)
            tally.frames_reconstructed += sum(exchange.reconstruction_HWC is not None for exchange in decoded)
            self._waiting.admit(decoded, self._clock())
            self._in_hand = 0
        for exchange in failed:
            exchange.settle(None)
        return True

    def _invert(self, target: Target, batch: list[Exchange]) -> int:
        """Rebuild a batch, each frame on its own where that fails; how many could not be rebuilt."""
        try:
            invert_batch(target, batch)
        except Exception as error:  # an attack handed in from outside may fail in any way
            if len(batch) > 1:
                return sum(self._invert(target, [exchange]) for exchange in batch)
            self._tell(f"reconstruction failed for {target.name}: {error}")
            return 1
        return 0

    def _settle_some(self) -> None:
        with self._lock:
            released = self._waiting.release(self._clock())
            self._in_hand = len(released)
        for exchange, truth in released:
            try:
                self._settle(exchange, truth)
            except Exception as error:  # one odd frame must not cost the others
                log.exception("a frame could not be scored")
                self._tell(f"a frame could not be scored: {error}")
                with self._lock:
                    self._intake.tally(self._target(exchange)).frames_without_truth += 1
                exchange.settle(None)
            with self._lock:
                self._in_hand -= 1

    def _tell(self, problem: str) -> None:
        if self._problems.allows(self._clock()):
            self._publish("problem", {"text": problem})

    def _settle(self, exchange: Exchange, truth: Truth | None) -> None:
        similarity = score(exchange, truth)
        target = self._target(exchange)
        if truth is not None and exchange.outputs:
            given = target.bundle.manifest.given
            learn(self._gallery, exchange.outputs, given, exchange.digest, truth)
        view = exchange_view(exchange, target, truth, similarity, self._gallery)
        with self._lock:
            self._book(exchange, target, truth, similarity, view.get("jpeg_bytes"))
        self._publish("frame", view)

    def _book(
        self,
        exchange: Exchange,
        target: Target,
        truth: Truth | None,
        similarity: Similarity | None,
        jpeg_bytes: int | None,
    ) -> None:
        tally = self._intake.tally(target)
        if jpeg_bytes is not None:
            tally.jpeg_bytes.add(jpeg_bytes)
        if similarity is not None:
            tally.scored(exchange.tap, target.codec_name(exchange.codec), similarity)
        elif exchange.reconstruction_HWC is not None:
            tally.frames_without_truth += 1
        exchange.settle(truth.label if truth else None)
        self._intake.judge(exchange)
