"""A video made here and read back; cameras that are not there."""

import io
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.edge_client.errors import SourceError, SourceLost
from siftfunnel.edge_client.sources.video import RetryPolicy, VideoSource

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
    with pytest.raises(SourceError, match=r"pip install '\.\[camera\]'"):
        VideoSource(0)


class NetworkCamera(ThreadingHTTPServer):
    """A camera that sends a few pictures per connection and then hangs up, as one does without power."""

    daemon_threads = True
    per_connection = 4

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CameraHandler)
        self.connections = 0
        self.address = f"http://camera:geheim@127.0.0.1:{self.server_port}/live.mjpg"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def unplug(self) -> None:
        self.shutdown()
        self.server_close()


class _CameraHandler(BaseHTTPRequestHandler):
    server: NetworkCamera

    def do_GET(self) -> None:
        stored = io.BytesIO()
        Image.new("RGB", (64, 48), "red").save(stored, "JPEG")
        self.server.connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        picture = stored.getvalue()
        for _ in range(self.server.per_connection):
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def camera() -> Iterator[NetworkCamera]:
    pytest.importorskip("cv2", reason=NEEDS_OPENCV)
    server = NetworkCamera()
    yield server
    server.unplug()


def test_a_camera_that_stops_is_opened_again(camera: NetworkCamera, caplog: pytest.LogCaptureFixture) -> None:
    source = VideoSource(camera.address, retry=RetryPolicy(0.01, 0.05, 30.0))
    assert source.keeps_latest
    stop, names = threading.Event(), []
    for picture in source.pictures(stop):
        names.append(picture.name)
        if camera.connections >= 3:
            stop.set()
    shown = f"http://***@127.0.0.1:{camera.server_port}/live.mjpg"
    assert names == [f"{shown}#{number}" for number in range(len(names))]
    assert len(names) > 2 * camera.per_connection
    assert "stopped; opening it again" in caplog.text
    assert "is back" in caplog.text
    assert "geheim" not in caplog.text


def test_a_camera_that_stays_away_is_an_error_after_a_while(camera: NetworkCamera) -> None:
    pictures = VideoSource(camera.address, retry=RetryPolicy(0.01, 0.05, 0.3)).pictures(RUNNING)
    next(pictures)
    camera.unplug()
    with pytest.raises(
        SourceLost, match=r"^http://\*\*\*@127.*: stopped, and did not come back within 0\.3 s"
    ):
        list(pictures)


def test_a_stop_ends_the_wait_for_a_camera(camera: NetworkCamera) -> None:
    stop = threading.Event()
    pictures = VideoSource(camera.address, retry=RetryPolicy(300.0, 300.0, 900.0)).pictures(stop)
    next(pictures)
    camera.unplug()
    threading.Timer(0.2, stop.set).start()
    assert len(list(pictures)) < camera.per_connection


def test_a_password_in_the_address_of_a_camera_is_not_repeated() -> None:
    pytest.importorskip("cv2", reason=NEEDS_OPENCV)
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@127\.0\.0\.1:1/live: does not open") as refused:
        VideoSource("rtsp://admin:geheim@127.0.0.1:1/live")
    assert "geheim" not in str(refused.value)
