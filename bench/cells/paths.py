"""The ways from a picture to its class: all on the device, or through a server."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.cells.picture_codec import PictureCodec
from siftfunnel.bench.cells.record import Done, Frame
from siftfunnel.bench.cells.result import Mode
from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.engine import EngineOptions, OnnxRuntimeEngine
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.delivery import Delivery
from siftfunnel.edge_client.frame import EncodedFrame
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.edge_client.outcome import Answer, Outcome
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.replies import Expected
from siftfunnel.edge_client.settings import ReconnectPolicy, WindowPolicy
from siftfunnel.edge_client.settlement import Agreement
from siftfunnel.edge_client.transport import Ask, StreamCall
from siftfunnel.edge_client.window import InFlightWindow
from siftfunnel.shared.bundle import CLOUD, Bundle
from siftfunnel.shared.preprocess import fit_image, normalise, open_image
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.wire import codec_by_name, make_codecs

ENDED = "STREAM_ENDED"
"""Code of a frame whose stream is over before its answer came."""

_END_TIMEOUT_S = 5.0


class WholeNetwork:
    """A bundle's two halves, one after the other, without a codec between them; an `Engine` of pictures.

    Args:
        bundle: Loaded.
        threads: Of each half.

    Attributes:
        batches_in_flight: As many as this machine's cores ask for; see `Engine`.
    """

    batches_in_flight: int | None = None

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self._edge = EdgeModel(bundle, threads=threads)
        self._cloud = OnnxRuntimeEngine(bundle.path(CLOUD), bundle.manifest, EngineOptions(threads))
        self._reading = Reading(bundle.manifest.given)

    def run(self, pictures_NCHW: NDArray[np.float32]) -> Outputs:
        """The outputs of normalised pictures."""
        return self._cloud.run(self._edge.features(pictures_NCHW))

    def class_names(self, pictures_NCHW: NDArray[np.float32]) -> list[str]:
        """The best class of each picture."""
        classes = self.bundle.manifest.classes
        rankings = self._reading.rank(self.run(pictures_NCHW), top_k=1)
        return [classes[ranking[0][0]] if ranking and ranking[0] else "" for ranking in rankings]


class EdgeOnly:
    """The whole network on the device.

    Args:
        bundle: Loaded.
        done: Told of every frame.
    """

    def __init__(self, bundle: Bundle, done: Done) -> None:
        self._network = WholeNetwork(bundle)
        self._spec = bundle.manifest.input
        self._done = done

    def take(self, frame: Frame) -> None:
        """Do all of it."""
        frame.begin()
        pixels_HWC = fit_image(open_image(frame.file.data), self._spec)
        frame.captured_s = perf_counter()
        (frame.class_name,) = self._network.class_names(normalise(pixels_HWC[None], self._spec))
        frame.edged_s = frame.encoded_s = perf_counter()
        frame.finish(self._done)

    def close(self) -> None:
        """Nothing is open."""


Encode = Callable[[Frame, NDArray[np.uint8]], bytes]
"""From pixels to payload, stamping the frame's `edged_s`."""


def encoder_of(bundle: Bundle, mode: Mode, codec_name: str, index: int) -> tuple[Encode, int]:
    """What the device does with the pixels before it sends them, and the codec's position on the wire.

    Args:
        bundle: Loaded.
        mode: In cloud-only the device compresses the picture; else it runs the edge half and a codec.
        codec_name: The codec.
        index: Position of a picture codec.
    """
    spec = bundle.manifest.input
    if mode == "cloud-only":
        pictures = PictureCodec(codec_name, index, spec)

        def compress(frame: Frame, pixels_HWC: NDArray[np.uint8]) -> bytes:
            frame.edged_s = frame.captured_s
            return pictures.encode(pixels_HWC)

        return compress, index
    model = EdgeModel(bundle)
    codec = codec_by_name(make_codecs(bundle.manifest, bundle.digest), codec_name)

    def encode(frame: Frame, pixels_HWC: NDArray[np.uint8]) -> bytes:
        features_NCHW = model.features(normalise(pixels_HWC[None], spec))
        frame.edged_s = perf_counter()
        return codec.encode(features_NCHW[0])

    return encode, codec.index


class CountingCall(StreamCall):
    """A stream that also adds up the size of its serialised replies.

    Args:
        count: Told of each reply's bytes.
    """

    def __init__(self, address: ServerAddress, ask: Ask, count: Callable[[int], None]) -> None:
        super().__init__(address, ask)
        self._count = count

    def replies(self) -> Iterator[bytes]:
        """See `StreamCall.replies`."""
        for reply in super().replies():
            self._count(len(reply))
            yield reply


class Upload:
    """Through a server, with the stream engine of `siftfunnel edge`.

    Args:
        bundle: Loaded.
        server: HOST:PORT.
        codec: Name of the codec, for outcomes.
        encoder: Pixels to payload, and the codec's position.
        done: Told of every frame.
        connect_timeout_s: Patience with a server that is away.

    Attributes:
        reply_bytes: Of all serialised replies so far.
    """

    def __init__(
        self,
        bundle: Bundle,
        server: str,
        codec: str,
        encoder: tuple[Encode, int],
        done: Done,
        connect_timeout_s: float = 30.0,
    ) -> None:
        self._spec = bundle.manifest.input
        self._encode, codec_index = encoder
        self._done = done
        self._numbers = itertools.count()
        self._pending: dict[int, Frame] = {}
        self.reply_bytes = 0
        address = ServerAddress(server)
        self._engine = Delivery(
            lambda: CountingCall(address, Ask(bundle.digest), self._add_reply),
            InFlightWindow(WindowPolicy(), random.random),
            Reconnection(ReconnectPolicy(connect_timeout_s=connect_timeout_s), random.random),
            Agreement(
                bundle.name, Expected.of(bundle.manifest), codec, codec_index, ReplySeal(bundle.digest)
            ),
            address,
        )
        self._engine.start()
        self._collector = threading.Thread(target=self._collect, name="bench-answers", daemon=True)
        self._collector.start()

    def take(self, frame: Frame) -> None:
        """Do the device's share; blocks while the way is full."""
        if not self._engine.wait_for_room():
            frame.begin()
            frame.finish(self._done, ENDED)
            return
        frame.begin()
        pixels_HWC = fit_image(open_image(frame.file.data), self._spec)
        frame.captured_s = perf_counter()
        payload = self._encode(frame, pixels_HWC)
        frame.payload_bytes, frame.encoded_s = len(payload), perf_counter()
        sequence = next(self._numbers)
        self._pending[sequence] = frame
        encoded = EncodedFrame(sequence, frame.file.name, frame.file.label, payload)
        if not self._engine.hand_in(encoded) and self._pending.pop(sequence, None) is not None:
            frame.finish(self._done, ENDED)

    def close(self) -> None:
        """Free what it holds; frames that are under way fail."""
        self._engine.finish()
        self._engine.join(_END_TIMEOUT_S)
        self._engine.abandon(ENDED, "the run is over")
        self._collector.join(_END_TIMEOUT_S)

    @property
    def failure(self) -> str | None:
        """What ended the stream, in words; None while it runs."""
        return None if self._engine.error is None else str(self._engine.error)

    def _add_reply(self, size_bytes: int) -> None:
        self.reply_bytes += size_bytes

    def _collect(self) -> None:
        while not self._engine.over or self._pending:
            outcome = self._engine.next_outcome()
            if outcome is None:
                break
            self._settle(outcome)
        for sequence in list(self._pending):
            if (frame := self._pending.pop(sequence, None)) is not None:
                frame.finish(self._done, ENDED)

    def _settle(self, outcome: Outcome) -> None:
        if outcome.sequence is None or (frame := self._pending.pop(outcome.sequence, None)) is None:
            return
        if not isinstance(outcome, Answer):
            frame.sends = getattr(outcome, "sends", 0)
            frame.finish(self._done, getattr(outcome, "code", ENDED))
            return
        frame.sends, frame.class_name = outcome.sends, outcome.class_name if outcome.top else ""
        frame.queue_ms = outcome.server.queue_us / 1000
        frame.decode_ms = outcome.server.decode_us / 1000
        frame.cloud_ms = outcome.server.compute_us / 1000
        frame.finish(self._done)
