"""Pictures in, encoded frames into the engine: the one thread that computes on the device."""

import threading
import time
from collections.abc import Callable, Iterator

from edge_client.encoder import Encoded, Encoder
from edge_client.engine import StreamEngine
from edge_client.outcome import ENCODE, IMAGE, FrameFailure, Superseded
from edge_client.picture import Picture
from edge_client.sources.source import Source
from edge_client.window import EncodedFrame
from shared.preprocess import ImageError
from shared.wire import CodecError

OnHandedIn = Callable[[int, Encoded], None]
"""Called with the sequence and the frame just before it may be sent."""


class LatestSlot:
    """Room for one picture: a newer one pushes the older one out, which is given back to be counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: tuple[int, Picture] | None = None
        self._closed = False

    def put(self, sequence: int, picture: Picture) -> tuple[int, Picture] | None:
        """Hold a picture and return the one it pushed out; after `close` that is the picture itself."""
        with self._changed:
            if self._closed:
                return sequence, picture
            pushed_out, self._held = self._held, (sequence, picture)
            self._changed.notify_all()
            return pushed_out

    def take(self) -> tuple[int, Picture] | None:
        """Wait for a picture; None once the slot is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._held is not None or self._closed)
            held, self._held = self._held, None
            return held

    def close(self) -> None:
        """Nothing more will be put in; what is held can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def frame_of(encoded: Encoded, sequence: int, started_s: float, budget_ms: int | None) -> EncodedFrame:
    """An encoded picture as the window takes it.

    Args:
        encoded: what is sent.
        sequence: its number.
        started_s: when it was handed in, on the monotonic clock.
        budget_ms: how long after that its answer is of use; None for ever.
    """
    deadline_s = None if budget_ms is None else started_s + budget_ms / 1000
    picture = encoded.picture
    return EncodedFrame(sequence, picture.name, picture.label, encoded.payload, encoded.edge_ms, deadline_s)


class Producer:
    """Reads a source until it ends or is stopped.

    Args:
        source: where pictures come from, and whether it blocks or keeps the latest.
        encoder: the device's share of the work.
        engine: where frames go.
        numbers: gives each frame its sequence, shared by all streams of a client.
        budget_ms: how long after it was read a frame's answer is of use, None for ever.
        on_handed_in: sees every frame before it is sent.
        limit: frames under way at most, where that is below the engine's window.

    Attributes:
        handed_in: frames that were given a number and are owed an outcome.
        error: what ended the source, None while it runs or when it ended in order.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        engine: StreamEngine,
        numbers: Iterator[int],
        *,
        budget_ms: int | None = None,
        on_handed_in: OnHandedIn | None = None,
        limit: int | None = None,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._engine = engine
        self._numbers = numbers
        self._budget_ms = budget_ms
        self._on_handed_in = on_handed_in
        self._limit = limit
        self._stop = threading.Event()
        self._slot = LatestSlot()
        self.error: BaseException | None = None
        self.handed_in = 0
        run = self._run_latest if source.keeps_latest else self._run_blocking
        self._thread = threading.Thread(target=self._guarded, args=(run,), name="edge-producer", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; frames already handed in are still answered. Does not wait."""
        self._stop.set()
        self._slot.close()
        self._engine.finish()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread; a source that hangs in a read is left behind."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            self.error = error
        finally:
            self._engine.finish()

    def _run_blocking(self) -> None:
        for picture in self._source.pictures(self._stop):
            started_s = time.monotonic()
            try:
                encoded = self._encoder.encode(picture)
            except ImageError as error:
                self._engine.report(self._failure(None, picture, IMAGE, str(error)))
                continue
            except CodecError as error:
                self.handed_in += 1
                self._engine.report(self._failure(self._number(picture), picture, ENCODE, str(error)))
                continue
            if not self._engine.wait_for_room(self._limit) or self._stop.is_set():
                return
            self.handed_in += self._hand_in(self._number(picture), encoded, started_s)

    def _run_latest(self) -> None:
        reader = threading.Thread(target=self._read_latest, name="edge-reader", daemon=True)
        reader.start()
        while self._engine.wait_for_room(self._limit) and (taken := self._slot.take()) is not None:
            sequence, picture = taken
            started_s = time.monotonic()
            try:
                encoded = self._encoder.encode(picture)
            except (ImageError, CodecError) as error:
                code = IMAGE if isinstance(error, ImageError) else ENCODE
                self._engine.report(self._failure(sequence, picture, code, str(error)))
                continue
            if not self._hand_in(sequence, encoded, started_s):
                self._supersede((sequence, picture))
        self._stop.set()
        self._slot.close()
        # the reader counts what it has numbered; only then is the account complete
        reader.join()
        if (left := self._slot.take()) is not None:
            self._supersede(left)

    def _read_latest(self) -> None:
        try:
            for picture in self._source.pictures(self._stop):
                self.handed_in += 1
                if (pushed_out := self._slot.put(self._number(picture), picture)) is not None:
                    self._supersede(pushed_out)
                if self._stop.is_set():
                    return
        except Exception as error:
            self.error = error
        finally:
            self._slot.close()

    def _number(self, picture: Picture) -> int:
        return next(self._numbers) if picture.sequence is None else picture.sequence

    def _hand_in(self, sequence: int, encoded: Encoded, started_s: float) -> bool:
        if self._on_handed_in is not None:
            self._on_handed_in(sequence, encoded)
        return self._engine.hand_in(frame_of(encoded, sequence, started_s, self._budget_ms))

    def _supersede(self, taken: tuple[int, Picture]) -> None:
        sequence, picture = taken
        bundle, codec = self._encoder.model.bundle.name, self._encoder.codec.name
        self._engine.report(Superseded(sequence, picture.name, picture.label, bundle, codec))

    def _failure(self, sequence: int | None, picture: Picture, code: str, message: str) -> FrameFailure:
        bundle, codec = self._encoder.model.bundle.name, self._encoder.codec.name
        return FrameFailure(sequence, picture.name, picture.label, code, message, bundle=bundle, codec=codec)
