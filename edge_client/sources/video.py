"""Pictures of a video file, a network stream or a camera, through OpenCV (extra `camera`)."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.errors import SourceError, SourceLost
from siftfunnel.edge_client.picture import Picture
from siftfunnel.shared.extras import how_to_install
from siftfunnel.shared.showing import without_credentials

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How a camera or stream that stopped is opened again.

    Attributes:
        initial_s: wait before the first attempt, which doubles with each.
        ceiling_s: longest wait between two attempts.
        give_up_s: time without a picture after which the source ends with an error.
    """

    initial_s: float = 0.5
    ceiling_s: float = 10.0
    give_up_s: float = 60.0


class VideoSource:
    """Frames of a video.

    A file ends where it ends. A camera or stream that stops is opened again, with growing waits.

    Args:
        place: path of a file, URL of a network stream, or number of a camera.
        retry: patience with a camera or stream that stopped.

    Raises:
        SourceError: OpenCV is missing, or the video does not open.
    """

    def __init__(self, place: str | int, *, retry: RetryPolicy | None = None) -> None:
        self.place = place
        self.name = f"camera {place}" if isinstance(place, int) else without_credentials(place)
        self._retry = retry or RetryPolicy()
        if isinstance(place, str) and not _is_url(place) and not Path(place).is_file():
            raise SourceError(f"{place}: no such video file")
        self._capture = _open(place, self.name)
        self._endless = self.keeps_latest and not _has_an_end(self._capture)

    @property
    def keeps_latest(self) -> bool:
        """A camera or network stream is live, a file waits."""
        return isinstance(self.place, int) or _is_url(self.place)

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`.

        Raises:
            SourceError: there was no picture at all.
            SourceLost: a camera or stream stopped and did not come back in time.
        """
        number = 0
        try:
            while not stop.is_set():
                pixels_HWC = self._next()
                if pixels_HWC is None and number == 0:
                    raise SourceError(f"{self.name}: gives no picture; is it in use, or not a video?")
                if pixels_HWC is None and self._endless:
                    pixels_HWC = self._reopened(stop)
                if pixels_HWC is None:
                    return
                yield Picture(f"{self.name}#{number}", pixels_HWC)
                number += 1
        finally:
            self._capture.release()

    def _next(self) -> NDArray[np.uint8] | None:
        there, pixels_BGR = self._capture.read()
        # Pillow and the model want RGB in one piece
        return np.ascontiguousarray(pixels_BGR[:, :, ::-1]) if there else None

    def _reopened(self, stop: threading.Event) -> NDArray[np.uint8] | None:
        """The first picture after an outage; None where `stop` came first."""
        lost_s, wait_s = time.monotonic(), self._retry.initial_s
        _log.warning("%s: stopped; opening it again for %g s at most", self.name, self._retry.give_up_s)
        while not stop.wait(wait_s):
            self._capture.release()
            try:
                self._capture = _open(self.place, self.name)
                if (pixels_HWC := self._next()) is not None:
                    _log.warning("%s: is back after %.1f s", self.name, time.monotonic() - lost_s)
                    return pixels_HWC
            except SourceError:
                pass
            wait_s = min(2 * wait_s, self._retry.ceiling_s)
            if time.monotonic() - lost_s + wait_s > self._retry.give_up_s:
                raise SourceLost(
                    f"{self.name}: stopped, and did not come back within {self._retry.give_up_s:g} s; "
                    "check its power, its cable and its network"
                )
        return None


def _is_url(place: str) -> bool:
    return "://" in place


def _has_an_end(capture: Any) -> bool:
    """Whether it is a file, wherever that lies: of a stream OpenCV does not know the number of frames."""
    import cv2

    return bool(capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def _open(place: str | int, name: str) -> Any:
    # FFmpeg's own lines on standard error say what our messages say, with the address's password
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            f"reading {name} needs OpenCV, which the extra `camera` brings: {how_to_install('camera')}"
        ) from error
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    capture = cv2.VideoCapture(place)
    if not capture.isOpened():
        raise SourceError(
            f"{name}: does not open as a video; check the number or the file, and who else uses it"
        )
    return capture
