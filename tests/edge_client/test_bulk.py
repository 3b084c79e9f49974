"""Several frames per message, over real sockets."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import pytest

from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.settings import ClientSettings, WindowPolicy
from siftfunnel.edge_client.transport import Ask, StreamCall
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.edge_client.conftest import pixels

Serve = Callable[..., AbstractContextManager[str]]


class Listener:
    """Keeps what a call sends."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.message_bytes: list[int] = []

    def listen(self) -> AbstractContextManager[object]:
        pack = StreamCall._messages

        def messages(call: StreamCall, groups: Iterator[list[pb.Frame]]) -> Iterator[pb.Frame | pb.Frames]:
            for message in pack(call, groups):
                self.sizes.append(len(message.frames) if isinstance(message, pb.Frames) else 1)
                self.message_bytes.append(message.ByteSize())
                yield message

        return patch.object(StreamCall, "_messages", messages)


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()
    with heard.listen():
        yield heard


@pytest.mark.parametrize("per_message", [2, 7, 1000])
def test_every_picture_has_its_one_answer_and_messages_are_fewer(
    bundle: Bundle, server: str, listener: Listener, per_message: int
) -> None:
    pictures = [pixels(number) for number in range(100)]
    with SplitClient(bundle, server) as client:
        expected = [client.classify(picture).class_name for picture in pictures[:10]]
    listener.sizes.clear()
    settings = ClientSettings(frames_per_message=per_message)
    with SplitClient(bundle, server, settings=settings) as client:
        outcomes = list(client.stream(pictures))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert [outcome.sequence for outcome in outcomes] == list(range(100))
    assert [o.class_name for o in outcomes[:10] if isinstance(o, Answer)] == expected
    assert sum(listener.sizes) == 100
    assert max(listener.sizes) <= min(per_message, settings.window.limit // 2)


def test_messages_stay_within_what_the_server_takes(
    bundle: Bundle, serve: Serve, listener: Listener, tmp_path: Path
) -> None:
    payload = bytes(20_000)
    frames = [pb.Frame(sequence=number, payload=payload) for number in range(20)]
    with serve(bundle) as server:
        call = StreamCall(ServerAddress(server), Ask(bundle.digest), several=True)
        opened = threading.Event()

        def groups() -> Iterator[list[pb.Frame]]:
            opened.wait(10)
            yield frames

        call.open(groups())
        opened.set()
        replies = [pb.Reply.FromString(reply) for reply in call.replies()]
        call.close()
    assert [reply.sequence for reply in replies] == list(range(20))
    assert {reply.error.code for reply in replies} == {pb.FrameError.INVALID_PAYLOAD}
    assert len(listener.sizes) > 1
    assert max(listener.message_bytes) < 12 * 8 * 8 * 4 + 4 + 64 * 1024


def test_a_server_that_tells_no_size_gets_single_frames() -> None:
    call = StreamCall(ServerAddress("127.0.0.1:1"), Ask("0" * 64), several=True)
    frames = [pb.Frame(sequence=number, payload=b"payload") for number in range(3)]
    assert [len(m.frames) for m in call._messages(iter([frames])) if isinstance(m, pb.Frames)] == [1, 1, 1]
    call.close()


def test_a_server_window_of_one_is_kept(bundle: Bundle, serve: Serve, listener: Listener) -> None:
    settings = ClientSettings(frames_per_message=8, window=WindowPolicy(limit=16))
    with serve(bundle, window=1) as server, SplitClient(bundle, server, settings=settings) as client:
        outcomes = list(client.stream(pixels(number) for number in range(6)))
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert set(listener.sizes) == {1}


def test_fewer_than_one_frame_per_message_is_refused() -> None:
    with pytest.raises(ValueError, match="frames_per_message must be at least 1, not 0"):
        ClientSettings(frames_per_message=0)
