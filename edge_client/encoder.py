"""One picture to one payload: preprocessing, edge half, codec, with the time it took."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.errors import ImageError, at_the_boundary
from siftfunnel.edge_client.frame import EncodedFrame
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.edge_client.picture import Picture
from siftfunnel.shared.placement import Transform
from siftfunnel.shared.preprocess import Prepared, prepare
from siftfunnel.shared.wire import codec_by_name, make_codecs


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture on its way out.

    Attributes:
        picture: what it was made from.
        pixels_HWC: uint8, what the model saw.
        payload: the encoded feature.
        edge_ms: preprocessing, model and encoding, milliseconds.
        transform: from pixels of the model's input to those of the picture.
    """

    picture: Picture
    pixels_HWC: NDArray[np.uint8]
    payload: bytes
    edge_ms: float
    transform: Transform | None = None

    def frame(self, sequence: int, budget_ms: int | None) -> EncodedFrame:
        """What travels of it: the picture and its pixels stay behind.

        Args:
            sequence: its number.
            budget_ms: how long after the picture was read an answer is of use; None for ever.
        """
        picture = self.picture
        return EncodedFrame(
            sequence,
            picture.name,
            picture.label,
            self.payload,
            self.edge_ms,
            None if budget_ms is None else picture.read_s + budget_ms / 1000,
            picture.index,
            self.transform,
        )


class Encoder:
    """The device's own share of the work for one bundle and codec.

    Args:
        model: the edge half.
        codec_name: None takes the bundle's default.

    Raises:
        CodecError: the bundle has no such codec; the text lists what it has.
        BundleError: a codec's table is invalid.
    """

    def __init__(self, model: EdgeModel, codec_name: str | None = None) -> None:
        self.model = model
        manifest = model.bundle.manifest
        with at_the_boundary():
            codecs = make_codecs(manifest, model.bundle.digest)
            self.codec = codec_by_name(codecs, codec_name or manifest.default_codec)

    def encode(self, picture: Picture) -> Encoded:
        """Decode, fit, normalise, run the edge half and encode.

        Raises:
            ImageError: the picture does not decode; the text names it.
            CodecError: the feature is not finite.
            ModelError: the edge half fails.
            DeviceExhausted: no file descriptor is left to open the picture with.
        """
        started_s = time.perf_counter()
        with at_the_boundary():
            prepared = self._prepare(picture)
            features_NCHW = self.model.features(prepared.tensor)
            payload = self.codec.encode(features_NCHW[0])
        edge_ms = (time.perf_counter() - started_s) * 1000
        return Encoded(picture, prepared.pixels_HWC, payload, edge_ms, prepared.transform)

    def _prepare(self, picture: Picture) -> Prepared:
        try:
            return prepare(picture.decodable(), self.model.bundle.manifest.input)
        except Exception as error:
            # a Pillow image that is opened lazily decodes only here, and raises whatever its format raises
            text = str(error) or repr(error)
            raise ImageError(text if picture.name in text else f"{picture.name}: {text}") from error
