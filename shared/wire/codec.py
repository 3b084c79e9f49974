"""A codec as parties use it: `encode` and `decode`, checked on both ways."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import CodecSpec, FeatureSpec, Manifest
from siftfunnel.shared.wire.bodies import Body, make_body
from siftfunnel.shared.wire.compiled import native
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.lattice_body import LatticeBody
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal

_Write = Callable[[NDArray[np.float32]], bytes]
_Read = Callable[[bytes], NDArray[np.float32]]


class Codec(Protocol):
    """Feature tensor to payload and back."""

    @property
    def name(self) -> str:
        """What people call it: "q6"."""

    @property
    def index(self) -> int:
        """What the wire calls it: its position in the manifest's list."""

    @property
    def max_payload_bytes(self) -> int:
        """No payload of this codec is longer; known before a byte is decoded."""

    def encode(self, features_CHW: NDArray[np.float32]) -> bytes:
        """One sealed payload.

        Raises:
            CodecError: another shape or type, NaN or infinity.
        """

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """The features of a payload, float32 CHW.

        Raises:
            CodecError: too long, truncated, damaged, or of another bundle or codec.
        """


class SealedCodec:
    """The one implementation: a body coder of the codec's kind, sealed.

    Args:
        spec: from the manifest.
        index: its position there.
        feature: the shape that goes in and comes out.
        digest: the bundle's.

    Attributes:
        max_payload_bytes: no payload of this codec is longer.
        min_payload_bytes: none is shorter.
        expected_payload_bytes: mean length on features like those it was calibrated on.

    Raises:
        BundleError: a parameter of the spec is wrong.
    """

    def __init__(self, spec: CodecSpec, index: int, feature: FeatureSpec, digest: str) -> None:
        self.name = spec.name
        self.index = index
        self.kind = spec.kind
        self.feature = feature
        self.body: Body | LatticeBody = make_body(spec, feature)
        self._write, self._read, added = _sealing(self.body, Seal(digest, index))
        self.max_payload_bytes = self.body.most_bytes + added
        self.min_payload_bytes = self.body.least_bytes + added
        self.expected_payload_bytes = self.body.expected_bytes + added

    def encode(self, features_CHW: NDArray[np.float32]) -> bytes:
        """See `Codec`."""
        if features_CHW.shape != self.feature.shape or features_CHW.dtype != np.float32:
            raise CodecError(
                f"codec {self.name}: expected float32 features of shape {self.feature.shape}, "
                f"not {features_CHW.dtype} {features_CHW.shape}"
            )
        if not _all_finite(features_CHW):
            raise CodecError(f"codec {self.name}: features hold NaN or infinity; check the edge half's input")
        return self._write(features_CHW.reshape(self.feature.channels, -1))

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """See `Codec`."""
        least, most = self.min_payload_bytes, self.max_payload_bytes
        if not least <= len(payload) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise CodecError(f"codec {self.name}: payload of {len(payload)} bytes, expected {wanted}")
        try:
            rows = self._read(payload)
        except CodecError as error:
            raise CodecError(f"codec {self.name}: {error}") from None
        return rows.reshape(self.feature.shape)


def _all_finite(features: NDArray[np.float32]) -> bool:
    if native is not None and features.flags.c_contiguous:
        return bool(native.all_finite(features))
    # a search for the byte of a False takes half the time of `all`
    return b"\0" not in np.isfinite(features).tobytes()


def _sealing(body: Body | LatticeBody, seal: Seal) -> tuple[_Write, _Read, int]:
    """How payloads of a body are written and read, and the bytes that its checksum adds to it."""
    if isinstance(body, LatticeBody):
        return (
            (lambda rows: body.write(rows, seal.checksum)),
            (lambda data: body.read(data, seal.checksum)),
            0,
        )
    return (lambda rows: seal.close(body.write(rows))), (lambda data: body.read(seal.open(data))), SEAL_BYTES


def make_codecs(manifest: Manifest, digest: str) -> tuple[SealedCodec, ...]:
    """The codecs of a bundle in wire order; entropy models are built when first used.

    Raises:
        BundleError: a codec's parameters are wrong.
    """
    return tuple(
        SealedCodec(spec, index, manifest.feature, digest) for index, spec in enumerate(manifest.codecs)
    )


def codec_by_name(codecs: tuple[SealedCodec, ...], name: str) -> SealedCodec:
    """The codec that people mean.

    Raises:
        CodecError: there is none; the text lists what there is.
    """
    for codec in codecs:
        if codec.name == name:
            return codec
    known = ", ".join(codec.name for codec in codecs)
    raise CodecError(f"no codec {name!r} in this bundle; there are: {known}")
