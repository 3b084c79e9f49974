"""The wire format: a feature tensor as one sealed payload, and back.

    features CHW -> quantiser -> entropy coder -> seal -> payload
    features CHW <- quantiser <- entropy coder <- seal <- payload

Everything that both sides must agree on stands in the bundle's manifest, tables included.
Nothing is computed by a float network, and nothing in a payload says how large a thing is.
"""

from siftfunnel.shared.wire.calibrate import calibrate, calibrate_tensors, packed
from siftfunnel.shared.wire.codec import (
    SealedCodec,
    codec_by_name,
    make_codecs,
)
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.kinds import check_codecs
from siftfunnel.shared.wire.lattice_calibration import calibrate_lattice
from siftfunnel.shared.wire.signed_calibration import calibrate_signed

__all__ = [
    "CodecError",
    "SealedCodec",
    "calibrate",
    "calibrate_lattice",
    "calibrate_signed",
    "calibrate_tensors",
    "check_codecs",
    "codec_by_name",
    "make_codecs",
    "packed",
]
