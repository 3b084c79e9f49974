"""A codec as parties use it: `encode` and `decode`, checked on both ways."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import CodecSpec, FeatureSpec, Manifest, TensorSpec
from siftfunnel.shared.wire.compiled import native
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.kinds import make_body
from siftfunnel.shared.wire.seal import Seal


class SealedCodec:
    """Feature tensor to payload and back: a body coder of the codec's kind, sealed.

    Args:
        spec: from the manifest.
        index: its position there.
        feature: the shape that goes in and comes out.
        digest: the bundle's.
        sent: the tensors that the feature is packed of; none where it is one tensor of this shape.

    Attributes:
        name: what people call it: "q6".
        index: what the wire calls it: its position in the manifest's list.
        max_payload_bytes: no payload of this codec is longer; known before a byte is decoded.
        min_payload_bytes: none is shorter.

    Raises:
        BundleError: a parameter of the spec is wrong.
    """

    def __init__(
        self,
        spec: CodecSpec,
        index: int,
        feature: FeatureSpec,
        digest: str,
        sent: tuple[TensorSpec, ...] = (),
    ) -> None:
        self.name = spec.name
        self.index = index
        self.kind = spec.kind
        self.feature = feature
        self.body = make_body(spec, feature, sent)
        self._seal = Seal(digest, index)
        self.max_payload_bytes = self.body.most_bytes
        self.min_payload_bytes = self.body.least_bytes

    def encode(self, features_CHW: NDArray[np.float32]) -> bytes:
        """One sealed payload.

        Raises:
            CodecError: another shape or type, NaN or infinity.
        """
        if features_CHW.shape != self.feature.shape or features_CHW.dtype != np.float32:
            raise CodecError(
                f"codec {self.name}: expected float32 features of shape {self.feature.shape}, "
                f"not {features_CHW.dtype} {features_CHW.shape}"
            )
        if not _all_finite(features_CHW):
            raise CodecError(f"codec {self.name}: features hold NaN or infinity; check the edge half's input")
        return self.body.write(features_CHW.reshape(self.feature.channels, -1), self._seal)

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """The features of a payload, float32 CHW.

        Raises:
            CodecError: too long, truncated, damaged, or of another bundle or codec.
        """
        least, most = self.min_payload_bytes, self.max_payload_bytes
        if not least <= len(payload) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise CodecError(f"codec {self.name}: payload of {len(payload)} bytes, expected {wanted}")
        try:
            rows = self.body.read(payload, self._seal)
        except CodecError as error:
            raise CodecError(f"codec {self.name}: {error}") from None
        return rows.reshape(self.feature.shape)


def _all_finite(features: NDArray[np.float32]) -> bool:
    if native is not None and features.flags.c_contiguous:
        return bool(native.all_finite(features))
    # a search for the byte of a False takes half the time of `all`
    return b"\0" not in np.isfinite(features).tobytes()


def make_codecs(manifest: Manifest, digest: str) -> tuple[SealedCodec, ...]:
    """The codecs of a bundle in wire order; entropy models are built when first used.

    Raises:
        BundleError: a codec's parameters are wrong.
    """
    return tuple(
        SealedCodec(spec, index, manifest.feature, digest, manifest.tensors)
        for index, spec in enumerate(manifest.codecs)
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
