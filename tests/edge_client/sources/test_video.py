"""A video made here and read back; cameras that are not there."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_client.errors import SourceError
from edge_client.sources.video import VideoSource

RUNNING = threading.Event()
NEEDS_OPENCV = "the extra camera is not installed"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames of 64x48: red grows brighter, blue stays dark."""
    cv2 = pytest.importorskip("cv2", reason=NEEDS_OPENCV)
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    assert writer.isOpened()
    for number in range(5):
        pixels_BGR = np.zeros((48, 64, 3), np.uint8)
        pixels_BGR[:, :, 2] = 50 * number
        writer.write(pixels_BGR)
    writer.release()
    return path


def test_frames_of_a_video_come_in_order_as_rgb(video: Path) -> None:
    source = VideoSource(str(video))
    assert not source.keeps_latest
    pictures = list(source.pictures(RUNNING))
    assert [picture.name for picture in pictures] == [f"{video}#{number}" for number in range(5)]
    frames = [np.asarray(picture.image) for picture in pictures]
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert [int(frame[:, :, 0].mean()) // 50 for frame in frames[1:]] == pytest.approx([1, 2, 3, 4], abs=1)
    assert max(int(frame[:, :, 2].mean()) for frame in frames) < 10


def test_a_stop_ends_a_video(video: Path) -> None:
    stop = threading.Event()
    pictures = VideoSource(str(video)).pictures(stop)
    next(pictures)
    stop.set()
    assert list(pictures) == []


def test_a_file_that_is_no_video_is_said_so(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason=NEEDS_OPENCV)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"clip\.mp4: does not open as a video"):
        VideoSource(str(path))


def test_a_camera_that_is_not_there_is_said_so() -> None:
    pytest.importorskip("cv2", reason=NEEDS_OPENCV)
    with pytest.raises(SourceError, match="camera 97: does not open"):
        VideoSource(97)


def test_a_missing_file_is_said_so_before_opencv_is_needed() -> None:
    with pytest.raises(SourceError, match="no such video file"):
        VideoSource("nowhere.mp4")


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SourceError, match=r"pip install 'siftfunnel\[camera\]'"):
        VideoSource(0)
