"""The gRPC side: one channel, one call, statuses turned into one exception. No policy lives here."""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc

from edge_client.address import ServerAddress
from shared.ports import STRAIGHT
from shared.rpc import split_inference_pb2 as pb
from shared.rpc.split_inference_pb2_grpc import SplitInferenceStub

BUNDLE_KEY, TOP_K_KEY, WINDOW_KEY = "siftfunnel-bundle", "siftfunnel-top-k", "siftfunnel-window"
MESSAGE_BYTES_KEY = "siftfunnel-message-bytes"
_FRAMING_BYTES = 16

_OPTIONS = (
    STRAIGHT,
    # every dial is a fresh attempt under the caller's own backoff, not a wait for gRPC's
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # servers drop clients that ping an idle stream more often than every 300 s; the timeout also
    # becomes TCP_USER_TIMEOUT, so unacknowledged frames end a dead connection after 20 s
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # a name with several addresses is a group of servers: each connection takes one at random, and the next
    # one if that is down. A stream is one call on one server, so round_robin's connection to all of them
    # would only cost.
    ("grpc.service_config", '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
)


class CallEnded(Exception):
    """A call is over.

    Attributes:
        status: name of the gRPC status.
        details: the text that came with it.
    """

    def __init__(self, status: str, details: str) -> None:
        super().__init__(f"{status}: {details}" if details else status)
        self.status = status
        self.details = details


def open_channel(address: ServerAddress) -> grpc.Channel:
    """A channel that dials when first used."""
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if not address.tls:
        return grpc.insecure_channel(address.target, options=options)
    if address.tls_name:
        options.append(("grpc.ssl_target_name_override", address.tls_name))
    credentials = grpc.ssl_channel_credentials() if address.tls is True else address.tls.channel_credentials()
    return grpc.secure_channel(address.target, credentials, options=options)


def call_metadata(digest: str, top_k: int) -> tuple[tuple[str, str], ...]:
    """What Infer and Stream carry once per call."""
    return ((BUNDLE_KEY, digest), (TOP_K_KEY, str(top_k)))


class StreamCall:
    """One `Stream` or `StreamBatches` call on a channel of its own.

    Args:
        address: the server.
        digest: the bundle's digest.
        top_k: classes per prediction.
        several: put frames that come together into one message, as far as the server takes it.
    """

    def __init__(self, address: ServerAddress, digest: str, top_k: int, several: bool = False) -> None:
        self._digest = digest
        self._several = several
        self._message_bytes = 0
        self._top_k = top_k
        self._channel = open_channel(address)
        self._call: Any = None

    def open(self, frames: Iterator[list[pb.Frame]]) -> int | None:
        """Open the stream and wait until the server has agreed on the bundle.

        Args:
            frames: those of one message each, none before this returns; gRPC reads them on its own thread.

        Returns:
            The window that the server told, or None.

        Raises:
            CallEnded: no connection, or the server turned the call down.
        """
        stub = _stub(self._channel)
        method = stub.StreamBatches if self._several else stub.Stream
        self._call = method(self._messages(frames), metadata=call_metadata(self._digest, self._top_k))
        told = {key: value for key, value in self._call.initial_metadata() or ()}
        if BUNDLE_KEY not in told:
            # a call that was turned down has no metadata, but its status
            for _ in self.replies():
                break
            raise CallEnded(
                "UNIMPLEMENTED", f"the server does not tell which bundle it serves ({BUNDLE_KEY})"
            )
        if told[BUNDLE_KEY] != self._digest:
            raise CallEnded(
                "FAILED_PRECONDITION", f"this device carries {self._digest}, it serves {told[BUNDLE_KEY]}"
            )
        self._message_bytes = _number(told.get(MESSAGE_BYTES_KEY)) or 0
        return _number(told.get(WINDOW_KEY))

    def _messages(self, groups: Iterator[list[pb.Frame]]) -> Iterator[pb.Frame | pb.Frames]:
        for frames in groups:
            if not self._several:
                yield from frames
                continue
            message, left_bytes = pb.Frames(), self._message_bytes
            for frame in frames:
                frame_bytes = frame.ByteSize() + _FRAMING_BYTES
                if message.frames and frame_bytes > left_bytes:
                    yield message
                    message, left_bytes = pb.Frames(), self._message_bytes
                message.frames.append(frame)
                left_bytes -= frame_bytes
            yield message

    def replies(self) -> Iterator[pb.Reply]:
        """Replies as they come, until the server ends the stream in order.

        Raises:
            CallEnded: it ended in another way.
        """
        try:
            for message in self._call:
                if self._several:
                    yield from message.replies
                else:
                    yield message
        except grpc.RpcError as error:
            raise _ended(error) from None

    def cancel(self) -> None:
        """Give the call up; whoever waits in it gets `CallEnded`. Safe from any thread."""
        if self._call is not None:
            self._call.cancel()

    def close(self) -> None:
        """Free the connection."""
        self.cancel()
        self._channel.close()


class UnaryCalls:
    """A channel kept open for `Infer`, one frame per call; safe from several threads.

    Attributes:
        server: its HOST:PORT.
    """

    def __init__(self, address: ServerAddress, digest: str, top_k: int) -> None:
        self.server = address.target
        self._channel = open_channel(address)
        self._infer = _stub(self._channel).Infer
        self._metadata = call_metadata(digest, top_k)

    def infer(self, frame: pb.Frame, timeout_s: float) -> pb.Reply:
        """Send one frame and wait for its reply.

        Raises:
            CallEnded: no connection, no reply in time, or the server turned the call down.
        """
        try:
            reply: pb.Reply = self._infer(frame, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _ended(error) from None
        except ValueError as error:
            # another thread closed the channel after a failure of its own
            raise CallEnded("CANCELLED", str(error)) from None
        return reply

    def close(self) -> None:
        """Free the connection."""
        with contextlib.suppress(ValueError):
            self._channel.close()


def _number(told: object) -> int | None:
    text = str(told)
    return int(text) if text.isascii() and text.isdigit() else None


def _stub(channel: grpc.Channel) -> Any:
    return SplitInferenceStub(channel)  # type: ignore[no-untyped-call]  # generated without types


def _ended(error: Any) -> CallEnded:
    return CallEnded(error.code().name, error.details() or "")
