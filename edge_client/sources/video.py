"""Pictures of a video file, a network stream or a camera, through OpenCV (extra `camera`)."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_client.errors import SourceError
from edge_client.picture import Picture


class VideoSource:
    """Frames of a video.

    Args:
        place: path of a file, URL of a network stream, or number of a camera.

    Raises:
        SourceError: OpenCV is missing, or the video does not open.
    """

    def __init__(self, place: str | int) -> None:
        self.place = place
        if isinstance(place, str) and not _is_url(place) and not Path(place).is_file():
            raise SourceError(f"{place}: no such video file")
        self._capture = _open(place)

    @property
    def keeps_latest(self) -> bool:
        """A camera or network stream is live, a file waits."""
        return isinstance(self.place, int) or _is_url(self.place)

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        name = f"camera {self.place}" if isinstance(self.place, int) else str(self.place)
        number = 0
        try:
            while not stop.is_set():
                there, pixels_BGR = self._capture.read()
                if not there:
                    if number == 0:
                        raise SourceError(f"{name}: gives no picture; is it in use, or not a video?")
                    return
                # Pillow and the model want RGB in one piece
                yield Picture(f"{name}#{number}", np.ascontiguousarray(pixels_BGR[:, :, ::-1]))
                number += 1
        finally:
            self._capture.release()


def _is_url(place: str) -> bool:
    return "://" in place


def _open(place: str | int) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise SourceError(
            f"reading {place!r} needs OpenCV, which the extra `camera` brings: "
            "pip install 'siftfunnel[camera]'"
        ) from error
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    capture = cv2.VideoCapture(place)
    if not capture.isOpened():
        what = f"camera {place}" if isinstance(place, int) else str(place)
        raise SourceError(
            f"{what}: does not open as a video; check the number or the file, and who else uses it"
        )
    return capture
