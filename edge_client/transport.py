"""The gRPC side: one channel, one call, statuses turned into one exception. No policy lives here."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.settlement import Terms
from siftfunnel.edge_client.tls_probe import tls_says
from siftfunnel.edge_client.troubles import trouble_of
from siftfunnel.shared.call_metadata import (
    BUNDLE_KEY,
    MAX_OUTPUT_BYTES,
    MESSAGE_BYTES_KEY,
    OUTPUTS_KEY,
    SEALED,
    SEALED_KEY,
    TOP_K_KEY,
    WINDOW_KEY,
    choice_as_text,
    whole_number,
)
from siftfunnel.shared.ports import STRAIGHT
from siftfunnel.shared.rpc import split_inference_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name
_FRAMING_BYTES = 16
_MOST_TEXT = 500
_REPLY_BYTES = 4 * 2**20
"""Taken beside outputs: classes and their scores."""
_UNREADABLE = b"\xff"

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
    # gRPC inflates a message before it looks at its size: identity alone is announced, and what comes
    # compressed all the same is left as it is, and so no reply
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.per_message_decompression", 0),
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


@dataclass(frozen=True)
class Ask:
    """What every call about a bundle carries.

    Attributes:
        digest: the bundle's.
        top_k: classes per prediction.
        outputs: names of those that predictions carry; None leaves the choice to the server: all that are
            not scores.
        max_output_bytes: what the outputs of one reply may take together.
    """

    digest: str
    top_k: int = 1
    outputs: tuple[str, ...] | None = None
    max_output_bytes: int = MAX_OUTPUT_BYTES

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries once."""
        metadata = ((BUNDLE_KEY, self.digest), (TOP_K_KEY, str(self.top_k)))
        return metadata if self.outputs is None else (*metadata, (OUTPUTS_KEY, choice_as_text(self.outputs)))

    @property
    def message_bytes(self) -> int:
        """The largest message that is taken."""
        return self.max_output_bytes + _REPLY_BYTES


def open_channel(address: ServerAddress, message_bytes: int = _REPLY_BYTES) -> grpc.Channel:
    """A channel that dials when first used; certificate files are read now.

    Args:
        address: the server.
        message_bytes: the largest message that is taken.

    Raises:
        CallEnded: a certificate file cannot be used.
    """
    options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.max_receive_message_length", message_bytes)]
    if not address.tls:
        return grpc.insecure_channel(address.target, options=options)
    if address.tls_name:
        options.append(("grpc.ssl_target_name_override", address.tls_name))
    if address.tls is True:
        return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(), options=options)
    try:
        credentials = address.tls.channel_credentials()
    except (OSError, ValueError) as error:
        # files that are being renewed do not fit together for a moment
        raise CallEnded("UNAVAILABLE", str(error)) from None
    return grpc.secure_channel(address.target, credentials, options=options)


class Connection:
    """A channel to one server, opened when first used; safe from several threads.

    Args:
        address: the server.
        message_bytes: the largest message that is taken.

    Attributes:
        closed: whether it is of no use any more.
    """

    def __init__(self, address: ServerAddress, message_bytes: int) -> None:
        self.address = address
        self.closed = False
        self._message_bytes = message_bytes
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._asked_s: float | None = None

    def method(self, name: str) -> Any:
        """A method of the service that takes a stream.

        Raises:
            CallEnded: a certificate file cannot be used, or another call has closed the connection.
        """
        with self._lock:
            if self.closed:
                raise CallEnded("CANCELLED", "the connection was closed")
            if self._channel is None:
                self._channel = open_channel(self.address, self._message_bytes)
            self._asked_s = self._asked_s or time.monotonic()
            return self._channel.stream_stream(f"/{_SERVICE}/{name}", request_serializer=_serialised)

    def replied(self) -> None:
        """A reply came over it."""
        self._asked_s = None

    def silent_s(self) -> float:
        """How long calls over it have had no reply to any, seconds."""
        return 0.0 if (asked_s := self._asked_s) is None else time.monotonic() - asked_s

    def close(self) -> None:
        """Free it; calls over it end."""
        with self._lock:
            self.closed, channel = True, self._channel
        if channel is not None:
            channel.close()


class StreamCall:
    """One `Stream` or `StreamBatches` call.

    Args:
        address: the server.
        ask: what the call carries.
        several: put frames that come together into one message, as far as the server takes it.
        kept: a connection to it that outlives the call unless that breaks; None for one of the call's own.
    """

    def __init__(
        self, address: ServerAddress, ask: Ask, several: bool = False, kept: Connection | None = None
    ) -> None:
        self.address = address
        self._connection = kept or Connection(address, ask.message_bytes)
        self._is_kept = kept is not None
        self._ask = ask
        self._several = several
        self._message_bytes = 0
        self._call: Any = None

    def open(self, frames: Iterator[list[pb.Frame]]) -> Terms:
        """Open the stream and wait until the server has agreed on the bundle.

        Args:
            frames: those of one message each, none before this returns; gRPC reads them on its own thread.

        Returns:
            What the server told.

        Raises:
            CallEnded: no connection, or the server turned the call down.
        """
        method = self._connection.method("StreamBatches" if self._several else "Stream")
        try:
            self._call = method(
                self._messages(frames), metadata=(*self._ask.metadata, *self.address.metadata)
            )
        except ValueError as error:
            # another call closed the channel after a failure of its own
            raise CallEnded("CANCELLED", str(error)) from None
        return self._agreed()

    def _agreed(self) -> Terms:
        told = dict(self._call.initial_metadata() or ())
        if BUNDLE_KEY not in told:
            self._turned_down()
        digest = self._ask.digest
        if told[BUNDLE_KEY] != digest:
            served = _tidy(str(told[BUNDLE_KEY]))
            raise CallEnded("FAILED_PRECONDITION", f"this device carries {digest}, it serves {served}")
        self._message_bytes = whole_number(told.get(MESSAGE_BYTES_KEY)) or 0
        return Terms(whole_number(told.get(WINDOW_KEY)), told.get(SEALED_KEY) == SEALED)

    def _turned_down(self) -> NoReturn:
        """A call that was turned down has no metadata, but its status."""
        try:
            for _ in self._received():
                break
        except CallEnded as end:
            raise _explained(end, self._connection.address) from None
        raise CallEnded("UNIMPLEMENTED", f"the server does not tell which bundle it serves ({BUNDLE_KEY})")

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

    def replies(self) -> Iterator[bytes]:
        """Serialised replies as they come, until the server ends the stream in order.

        Raises:
            CallEnded: it ended in another way.
        """
        for message in self._received():
            self._connection.replied()
            if self._several:
                yield from _replies_of(message)
            else:
                yield message

    def _received(self) -> Iterator[bytes]:
        try:
            yield from self._call
        except grpc.RpcError as error:
            raise _ended(error) from None

    def cancel(self) -> None:
        """Give the call up; whoever waits in it gets `CallEnded`. Safe from any thread."""
        if self._call is not None:
            self._call.cancel()

    def close(self, broken: bool = True) -> None:
        """End the call, and free the connection unless it is kept and not broken."""
        self.cancel()
        if broken or not self._is_kept:
            self._connection.close()


def _serialised(message: pb.Frame | pb.Frames) -> bytes:
    return message.SerializeToString()


def _replies_of(message: bytes) -> list[bytes]:
    """The replies in a message; a message that is none stands for one damaged reply."""
    try:
        return list(pb.SerialisedReplies.FromString(message).replies)
    except DecodeError:
        return [_UNREADABLE]


def _ended(error: Any) -> CallEnded:
    return CallEnded(error.code().name, _tidy(error.details() or ""))


def _tidy(text: str) -> str:
    """A text of the other side, or of gRPC's depths, as part of a message: printable and not long."""
    printable = "".join(each if each.isprintable() else " " for each in text[:_MOST_TEXT])
    return " ".join(printable.split())


_HANGS_UP = ("Socket closed", "Connection reset", "Broken pipe", "Endpoint closing", "Unwrap failed")


def _explained(end: CallEnded, address: ServerAddress) -> CallEnded:
    """Add what TLS says where gRPC only says that somebody hung up."""
    if not address.tls or end.status != "UNAVAILABLE" or trouble_of(end.details):
        return end
    if any(sign in end.details for sign in _HANGS_UP) and (said := tls_says(address)):
        return CallEnded(end.status, f"{end.details}; over TLS the server {said}")
    return end
