"""One item that fails costs itself: every other has its answer, and every failure says which item it was."""

import io
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.edge_client import (
    Answer,
    DeviceExhausted,
    EdgeModel,
    FrameFailure,
    ModelError,
    Picture,
    SplitClient,
)
from siftfunnel.edge_client import producer as producing
from siftfunnel.edge_client.outcome import Outcome, Superseded
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import pixels, write_pictures
from tests.edge_client.test_live import Live


def truncated() -> Image.Image:
    """A picture that Pillow opens lazily, and that breaks off."""
    encoded = io.BytesIO()
    Image.fromarray(pixels(0, 200, 200)).save(encoded, "PNG")
    return Image.open(io.BytesIO(encoded.getvalue()[: len(encoded.getvalue()) // 2]))


BAD_ITEMS: dict[str, Callable[[], object]] = {
    "a truncated Pillow image": truncated,
    "bytes that are no picture": lambda: b"no picture",
    "pixels of another type": lambda: np.zeros((4, 4, 3), np.float32),
    "pixels of another shape": lambda: np.zeros((4, 4), np.uint8),
    "a path to nothing": lambda: "nowhere.png",
    "a path with a zero byte": lambda: "no\0where.png",
    "nothing": lambda: None,
    "a number": lambda: 42,
    "a file that is closed": lambda: closed(),
}


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize("what", BAD_ITEMS)
def test_a_bad_item_is_told_by_its_number_and_the_others_are_answered(
    bundle: Bundle, server: str, what: str
) -> None:
    with SplitClient(bundle, server) as client:
        outcomes = list(client.stream([pixels(0), BAD_ITEMS[what](), pixels(1), pixels(2)]))
    found = {outcome.index: outcome for outcome in outcomes}
    assert sorted(found) == [0, 1, 2, 3]
    bad = found.pop(1)
    assert isinstance(bad, FrameFailure)
    assert (bad.code, bad.sequence) == ("IMAGE", None)
    assert all(isinstance(outcome, Answer) for outcome in found.values())


def test_every_outcome_has_the_number_of_its_input(bundle: Bundle, server: str) -> None:
    pictures = [pixels(seed) for seed in range(8)]
    with SplitClient(bundle, server, first_sequence=100) as client:
        expected = [client.classify(picture).top for picture in pictures]
        answers = [outcome for outcome in client.stream(pictures) if isinstance(outcome, Answer)]
    assert [answer.top for answer in sorted(answers, key=lambda each: each.index)] == expected


def accounted(outcomes: list[Outcome]) -> int:
    kinds = (Answer, FrameFailure, Superseded)
    return sum(isinstance(each, kinds) and each.sequence is not None for each in outcomes)


@pytest.mark.parametrize("live", [True, False])
def test_a_model_error_is_the_outcome_of_its_picture(
    bundle: Bundle, server: str, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    with SplitClient(bundle, server) as client:
        features, count = EdgeModel.features, iter(range(10**9))

        def failing(model: EdgeModel, tensor_NCHW: np.ndarray) -> np.ndarray:
            if next(count) % 3 == 1:
                raise ModelError("the edge half fails on it")
            return features(model, tensor_NCHW)

        monkeypatch.setattr(EdgeModel, "features", failing)
        with client.open_stream(Live(60, 0.002) if live else (pixels(n) for n in range(60))) as stream:
            outcomes = list(stream)
    assert accounted(outcomes) == stream.handed_in == 60
    assert sorted(outcome.index for outcome in outcomes) == list(range(60))
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, FrameFailure)]
    assert set(codes) == {"MODEL"}


@pytest.mark.parametrize("live", [True, False])
def test_an_unexpected_error_of_the_device_is_the_outcome_of_its_picture(
    bundle: Bundle, server: str, live: bool
) -> None:
    def refuse(sequence: int, encoded: object) -> None:
        if sequence % 2:
            raise ZeroDivisionError("in the caller's own code")

    source = Live(20, 0.01) if live else (pixels(n) for n in range(20))
    with (
        SplitClient(bundle, server) as client,
        client.open_stream(source, on_handed_in=refuse) as stream,
    ):
        outcomes = list(stream)
    assert accounted(outcomes) == stream.handed_in == 20
    failures = [outcome for outcome in outcomes if isinstance(outcome, FrameFailure)]
    assert {failure.code for failure in failures} == {"INTERNAL"}
    assert all("in the caller's own code" in failure.message for failure in failures)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """While inside, this process cannot open anything."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def noted(outcomes: Iterator[Outcome], there_is_one: threading.Event) -> Iterator[Outcome]:
    for outcome in outcomes:
        there_is_one.set()
        yield outcome


def test_a_device_without_descriptors_says_so_and_blames_no_picture(
    bundle: Bundle, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "_EXHAUSTED_WAITS_S", (0.01, 0.01))
    paths = write_pictures(tmp_path, ["a.png", "b.png"])
    connected = threading.Event()
    outcomes: list[Outcome] = []

    def starving() -> Iterator[object]:
        yield pixels(0)
        assert connected.wait(10)
        held.enter_context(no_descriptors())
        yield from paths

    # given back by the test, whenever the stream lets go of its source
    with ExitStack() as held, SplitClient(bundle, server) as client:
        client.classify(paths[0])
        with no_descriptors(), pytest.raises(DeviceExhausted, match="ulimit -n"):
            client.classify(paths[0])
        with pytest.raises(DeviceExhausted, match="ulimit -n"):
            outcomes.extend(noted(client.stream(starving()), connected))
    assert [getattr(each, "code", "answer") for each in outcomes] == ["answer", "DEVICE"]


def test_a_picture_waits_for_descriptors_to_come_free(
    bundle: Bundle, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "_EXHAUSTED_WAITS_S", (0.05,) * 100)
    (path,) = write_pictures(tmp_path, ["a.png"])

    def starving() -> Iterator[object]:
        held.enter_context(no_descriptors())
        threading.Timer(0.2, held.close).start()
        yield path

    with ExitStack() as held, SplitClient(bundle, server) as client:
        assert [type(outcome) for outcome in client.stream(starving())] == [Answer]


def test_a_source_is_closed_when_a_picture_ends_the_stream(
    bundle: Bundle, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "_EXHAUSTED_WAITS_S", ())
    released = threading.Event()

    class Camera:
        keeps_latest = False

        def pictures(self, stop: threading.Event) -> Iterator[Picture]:
            try:
                while True:
                    yield Picture("camera", pixels(0))
            finally:
                released.set()

    def exhausted(encoder: object, picture: object) -> None:
        raise DeviceExhausted("no file descriptor left")

    monkeypatch.setattr("siftfunnel.edge_client.encoder.Encoder.encode", exhausted)
    with SplitClient(bundle, server) as client, pytest.raises(DeviceExhausted) as kept:
        list(client.stream(Camera()))
    assert kept.value is not None
    assert released.wait(10)


ONE_PICTURE: dict[str, object] = {
    "a text": "face.png",
    "a path": Path("face.png"),
    "bytes": b"\x89PNG",
    "a file": io.BytesIO(b"\x89PNG"),
    "pixels": pixels(0),
    "a Pillow image": Image.fromarray(pixels(0)),
    "a picture": Picture("face", b""),
    "nothing": None,
}


@pytest.mark.parametrize("what", ONE_PICTURE)
def test_a_stream_of_one_picture_is_refused_with_what_to_do(bundle: Bundle, what: str) -> None:
    with SplitClient(bundle, "127.0.0.1:1") as client, pytest.raises(TypeError, match="`classify`"):
        client.open_stream(ONE_PICTURE[what])


def test_an_array_of_pictures_is_several(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client:
        outcomes = list(client.stream(np.stack([pixels(0), pixels(1)])))
    assert [outcome.index for outcome in outcomes] == [0, 1]
