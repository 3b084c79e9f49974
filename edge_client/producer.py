"""Pictures in, encoded frames into the engine: the one thread that computes on the device."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType

from siftfunnel.edge_client.delivery import Delivery
from siftfunnel.edge_client.encoder import Encoded, Encoder
from siftfunnel.edge_client.errors import CodecError, DeviceExhausted, ImageError, ModelError
from siftfunnel.edge_client.outcome import DEVICE, ENCODE, IMAGE, INTERNAL, MODEL, FrameFailure, Superseded
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.source import Source

_log = logging.getLogger(__name__)

OnHandedIn = Callable[[int, Encoded], None]
"""Called with the sequence and the frame just before it may be sent."""

FAILURE_CODES: Mapping[type[Exception], str] = MappingProxyType(
    {ImageError: IMAGE, CodecError: ENCODE, ModelError: MODEL}
)
"""What an encoder raises about one picture -> the code of that picture's outcome; INTERNAL for all else."""

_EXHAUSTED_WAITS_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Waits for file descriptors to come free, one after the other."""


class LatestSlot:
    """Room for one picture: a newer one pushes the older one out, which is given back to be counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: Picture | None = None
        self._closed = False

    def put(self, picture: Picture) -> Picture | None:
        """Hold a picture and return the one it pushed out; after `close` that is the picture itself."""
        with self._changed:
            if self._closed:
                return picture
            pushed_out, self._held = self._held, picture
            self._changed.notify_all()
            return pushed_out

    def take(self) -> Picture | None:
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


class Producer:
    """Reads a source until it ends or is stopped.

    Args:
        source: where pictures come from, and whether it blocks or keeps the latest.
        encoder: the device's share of the work.
        delivery: where frames go.
        numbers: gives each frame its sequence, shared by all streams of a client.
        budget_ms: how long after it was read a frame's answer is of use, None for ever.
        on_handed_in: sees every frame before it is sent.
        limit: frames under way at most, where that is below the window's.

    Attributes:
        handed_in: frames that were given a number and are owed an outcome.
        error: what ended the source, None while it runs or when it ended in order.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        delivery: Delivery,
        numbers: Iterator[int],
        *,
        budget_ms: int | None = None,
        on_handed_in: OnHandedIn | None = None,
        limit: int | None = None,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._delivery = delivery
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
        self._delivery.finish()

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
            self._delivery.finish()

    def _run_blocking(self) -> None:
        with closing(self._pictures()) as pictures:
            for picture in pictures:
                encoded = self._encode(picture, is_frame=False)
                if encoded is None:
                    continue
                if not self._delivery.wait_for_room(self._limit) or self._stop.is_set():
                    return
                if not self._hand_in(self._numbered(picture), encoded):
                    self.handed_in -= 1

    def _pictures(self) -> Generator[Picture, None, None]:
        """What the source gives; close it where reading ends early, so that the source lets go too."""
        for index, picture in enumerate(self._source.pictures(self._stop)):
            yield replace(picture, index=index, read_s=time.monotonic())

    def _run_latest(self) -> None:
        reader = threading.Thread(target=self._read_latest, name="edge-reader", daemon=True)
        reader.start()
        try:
            while self._delivery.wait_for_room(self._limit) and (picture := self._slot.take()) is not None:
                encoded = self._encode(picture, is_frame=True)
                if encoded is not None and not self._hand_in(picture, encoded):
                    self._supersede(picture)
        finally:
            self._stop.set()
            self._slot.close()
            # the reader counts what it has numbered; only then is the account complete
            reader.join()
            if (left := self._slot.take()) is not None:
                self._supersede(left)

    def _read_latest(self) -> None:
        try:
            with closing(self._pictures()) as pictures:
                for picture in pictures:
                    if (pushed_out := self._slot.put(self._numbered(picture))) is not None:
                        self._supersede(pushed_out)
                    if self._stop.is_set():
                        return
        except Exception as error:
            self.error = error
        finally:
            self._slot.close()

    def _numbered(self, picture: Picture) -> Picture:
        """The picture as a frame: from here on it is owed an outcome."""
        self.handed_in += 1
        given = picture.sequence
        return replace(picture, sequence=next(self._numbers)) if given is None else picture

    def _encode(self, picture: Picture, is_frame: bool) -> Encoded | None:
        """Encode a picture; None where that failed, which is its outcome and nobody else's.

        Args:
            picture: what to encode; its number may have been given by whoever hands it to several streams.
            is_frame: whether it was counted as a frame already.

        Raises:
            DeviceExhausted: it will not get better by waiting.
        """
        for tries, wait_s in enumerate((*_EXHAUSTED_WAITS_S, None)):
            try:
                return self._encoder.encode(picture)
            except DeviceExhausted as error:
                if wait_s is None or self._stop.is_set():
                    self._fail(picture, DEVICE, str(error), is_frame)
                    if self._stop.is_set():
                        break
                    raise
                if not tries:
                    _log.warning("%s: %s; trying again", picture.name, error)
                self._stop.wait(wait_s)
            except Exception as error:
                self._fail(picture, *_told(error), is_frame)
                break
        return None

    def _hand_in(self, picture: Picture, encoded: Encoded) -> bool:
        """False where the stream was closed in the meantime."""
        assert picture.sequence is not None
        try:
            if self._on_handed_in is not None:
                self._on_handed_in(picture.sequence, encoded)
            return self._delivery.hand_in(encoded.frame(picture.sequence, self._budget_ms))
        except Exception as error:
            self._fail(picture, INTERNAL, f"the frame could not be handed in: {error!r}", is_frame=True)
            return True

    def _supersede(self, picture: Picture) -> None:
        assert picture.sequence is not None
        bundle, codec = self._encoder.model.bundle.name, self._encoder.codec.name
        self._delivery.report(
            Superseded(picture.sequence, picture.name, picture.label, bundle, codec, picture.index)
        )

    def _fail(self, picture: Picture, code: str, message: str, is_frame: bool) -> None:
        """Report a failure; a picture that does not decode never becomes a frame, any other does."""
        if not is_frame:
            picture = replace(picture, sequence=None) if code == IMAGE else self._numbered(picture)
        bundle, codec = self._encoder.model.bundle.name, self._encoder.codec.name
        failure = FrameFailure(picture.sequence, picture.name, picture.label, code, message)
        self._delivery.report(replace(failure, bundle=bundle, codec=codec, index=picture.index))


def _told(error: Exception) -> tuple[str, str]:
    """Code and message of what failed while a picture was encoded."""
    for kind, code in FAILURE_CODES.items():
        if isinstance(error, kind):
            return code, str(error)
    return INTERNAL, f"the device failed on this picture: {error!r}"
