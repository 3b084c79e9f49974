"""From a server's reply, or the lack of one, to a frame's one outcome: pure, for streams and single calls."""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from siftfunnel.edge_client.frame import Held
from siftfunnel.edge_client.outcome import Answer, FrameFailure
from siftfunnel.edge_client.replies import Expected, Prediction, Rejection, read_reply
from siftfunnel.edge_client.window import Failed, InFlightWindow, Send
from siftfunnel.shared.padding import Padding
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb


@dataclass(frozen=True)
class Agreement:
    """What device and server agree on for every call.

    Attributes:
        bundle: the bundle's name.
        expected: what replies may hold.
        codec: name of the codec.
        codec_index: what the wire calls it.
        seal: checks replies about the bundle.
        padding: of frames, or None.
    """

    bundle: str
    expected: Expected
    codec: str
    codec_index: int
    seal: ReplySeal
    padding: Padding | None = None


@dataclass(frozen=True)
class Terms:
    """What the server told when it took a call.

    Attributes:
        window: frames in flight that it takes; None where it did not say.
        sealed: every reply has its checksum.
    """

    window: int | None = None
    sealed: bool = False


def message_of(send: Send, agreement: Agreement) -> pb.Frame:
    """The wire's form of a frame that the window lets go."""
    frame = pb.Frame(
        sequence=send.frame.sequence,
        codec=agreement.codec_index,
        payload=send.frame.payload,
        budget_ms=send.budget_ms,
    )
    if agreement.padding is not None:
        agreement.padding.pad(frame)
    return frame


def take_reply(
    window: InFlightWindow, data: bytes, agreement: Agreement, terms: Terms, now_s: float
) -> Answer | FrameFailure | None:
    """Enter a serialised reply into the window.

    Returns:
        The frame's outcome; None where the frame will be sent again, where the window has failed it
        (`take_failed`), or where no such frame is in flight.
    """
    window.expire(now_s)
    reply = _sound(window, data, agreement, terms)
    if reply is None:
        window.damaged(now_s)
        return None
    result = read_reply(reply, agreement.expected)
    if isinstance(result, Rejection) and result.code == "RESOURCE_EXHAUSTED" and result.retry_after_ms:
        window.refused(reply.sequence, result.retry_after_ms, result.message, now_s)
        return None
    if isinstance(result, Rejection) and result.code == "UNAVAILABLE":
        window.turned_away(reply.sequence, now_s)
        return None
    held = window.settle(reply.sequence, now_s)
    if held is None:
        return None
    if isinstance(result, Rejection):
        return failure_of(Failed(held, result.code, result.message), agreement, now_s)
    return _answer(held, result, agreement, now_s)


def _sound(window: InFlightWindow, data: bytes, agreement: Agreement, terms: Terms) -> pb.Reply | None:
    """The reply, unless it is damaged or answers another payload than the one that was sent."""
    try:
        reply = pb.Reply.FromString(data)
    except DecodeError:
        return None
    payload = window.payload_of(reply.sequence)
    if payload is None or not (terms.sealed or reply.HasField("checksum")):
        return reply
    return reply if agreement.seal.fits(data, payload) else None


def _answer(held: Held, prediction: Prediction, agreement: Agreement, now_s: float) -> Answer:
    frame, sent_s = held.frame, held.first_sent_s
    assert sent_s is not None
    return Answer(
        sequence=frame.sequence,
        source=frame.source,
        label=frame.label,
        top=prediction.top,
        edge_ms=frame.edge_ms,
        round_trip_ms=(now_s - sent_s) * 1000,
        payload_bytes=len(frame.payload),
        sends=held.sends,
        bundle=agreement.bundle,
        codec=agreement.codec,
        server=prediction.timings,
        index=frame.index,
        outputs=prediction.outputs,
        transform=frame.transform,
    )


def failure_of(failed: Failed, agreement: Agreement, now_s: float) -> FrameFailure:
    """The outcome of a frame that the server or the window failed."""
    frame, sent_s = failed.held.frame, failed.held.first_sent_s
    return FrameFailure(
        sequence=frame.sequence,
        source=frame.source,
        label=frame.label,
        code=failed.code,
        message=failed.message,
        edge_ms=frame.edge_ms,
        round_trip_ms=None if sent_s is None else (now_s - sent_s) * 1000,
        payload_bytes=len(frame.payload),
        sends=failed.held.sends,
        bundle=agreement.bundle,
        codec=agreement.codec,
        index=frame.index,
    )
