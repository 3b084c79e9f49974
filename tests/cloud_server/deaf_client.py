"""A client that sends frames and lets the server send nothing: HTTP/2 with a window of 0."""

import socket
import struct

from hpack import Encoder
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.rpc import split_inference_pb2 as pb

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class DeafClient:
    """Opens streams whose answers cannot be sent; a context manager.

    Args:
        endpoint: of a server without TLS.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._socket = socket.create_connection((endpoint.host, endpoint.port))
        self._encoder = Encoder()
        self._stream_id = -1
        settings = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        self._socket.sendall(_PREFACE + settings.serialize())

    def __enter__(self) -> "DeafClient":
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.close()

    def send(self, bundle: Bundle, method: str, *frames: pb.Frame) -> None:
        """Open a call, send frames, and be done with sending."""
        self._stream_id += 2
        headers = HeadersFrame(
            self._stream_id,
            self._encoder.encode(
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", f"/siftfunnel.v1.SplitInference/{method}"),
                    (":authority", "cloud"),
                    ("content-type", "application/grpc"),
                    ("te", "trailers"),
                    ("siftfunnel-bundle", bundle.digest),
                ]
            ),
        )
        headers.flags.add("END_HEADERS")
        body = b"".join(_message(frame.SerializeToString()) for frame in frames)
        data = DataFrame(self._stream_id, body)
        data.flags.add("END_STREAM")
        self._socket.sendall(headers.serialize() + data.serialize())


def _message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body
