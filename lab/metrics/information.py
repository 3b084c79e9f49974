"""How much a feature says about its picture: a count, a lower bound, and an upper bound.

``effective_information_mean``  the paper's count of non-zero values; no information in any strict sense
``info_nce``                    a lower bound: somebody did find that much
``entropy_coded_bits``          an upper bound: nobody can find more

Why the coded size bounds every attack
    Let P be the payload on the wire, read with the code that sender and receiver agreed on before there was a
    picture. Whatever an attacker computes from it, restored picture or name, is a function of P and of
    randomness and knowledge of its own, so by the data-processing inequality it says no more about the
    picture x than P does; and

        I(x; P) = H(P) - H(P | x)  <=  H(P)  <=  E[length of the codeword of P in bits].

    The first step holds because a discrete entropy is not negative: for a deterministic edge H(P | x) = 0,
    for one that adds noise the bound is only looser. The second is Shannon's: no uniquely decodable code is
    shorter on average than the entropy, if the code is fixed before and independently of the picture. Here
    tables and steps come from other pictures, so that is so. Any model q, right or wrong, gives such a code
    with lengths ceil(-log2 q(P)), which satisfy Kraft's inequality and are thus prefix-free. That is
    ``mean_bits``. The bytes that are really sent are not prefix-free by themselves: a receiver also learns
    where the payload ends.

What it does not say
    It bounds the *quantised, transmitted* feature of one payload. It says nothing of the float feature (of
    which a deterministic edge's information about continuous pictures is infinite), nothing of several
    payloads of one picture together (add them), and nothing of what leaks beside the payload, such as its
    timing. The expectation is over the pictures' distribution; from test pictures it is an estimate, and the
    payloads of 95 % or the longest describe single pictures without bounding anything.

    Nor do bits alone say *which* details survive. Rate-distortion theory turns a rate into a floor for an
    average distortion, under a distortion measure that one has to choose, and the floor of squared error
    for natural pictures is low and unknown: a picture's layout costs few bits. To name one person among a
    million takes 20. So a small bound proves that most of the picture is gone, never that a secret is.
"""

import base64
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from siftfunnel.lab.metrics.arrays import Array, to_numpy, to_tensor
from siftfunnel.shared.manifest import CodecSpec, FeatureSpec
from siftfunnel.shared.wire import SealedCodec, calibrate
from siftfunnel.shared.wire.bodies import TableBody
from siftfunnel.shared.wire.calibrate import TABLE_BITS

# tables and sizes do not depend on it
_NO_DIGEST = "0" * 64


def effective_information_mean(z_NCHW: Array) -> float:
    """Mean count of values that are not exactly zero, per picture: the paper's "effective information".

    At most C * H * W. Any constant shift or noise raises it to that, so it does not measure information.

    Raises:
        ValueError: no features, or NaN.

    Example:
        >>> effective_information_mean(torch.tensor([[[[0.0, 2.0]]], [[[0.0, 0.0]]]]))
        0.5
    """
    z = to_tensor(z_NCHW)
    if z.dim() < 2 or z.numel() == 0 or bool(torch.isnan(z).any()):
        raise ValueError(f"expected one or more features without NaN, N x C x H x W, got {tuple(z.shape)}")
    return float((z != 0).flatten(1).sum(dim=1).double().mean())


@dataclass(frozen=True)
class CodedSize:
    """Bits of one quantised feature, over test pictures; the module's docstring has the argument.

    Attributes:
        mean_bits: Upper bound on the entropy of a quantised feature, so on what it says of its picture: mean
            of ceil(-log2 q), a prefix-free code's lengths. Divide by log2(e) = 1.4427 for nats.
        p95_bits: 95 % of the test pictures need no more; describes pictures, bounds nothing.
        max_bits: The longest.
    """

    mean_bits: float
    p95_bits: float
    max_bits: float


def entropy_coded_bits(z_train_NCHW: Array, z_test_NCHW: Array, *, bits: int = 8) -> CodedSize:
    """Upper bound on what a quantised feature can say of its picture, in bits.

    Steps and frequency tables per channel come from ``z_train_NCHW`` (``siftfunnel.shared.wire.calibrate``,
    the codec that bundles ship), so the code is fixed before any test picture. A feature that never changes
    costs next to nothing: a bound of some bits, never exactly 0.

    Args:
        z_train_NCHW: Float features of other pictures; some hundred are enough.
        z_test_NCHW: Float features of the pictures in question.
        bits: 4 to 8 per value before coding; a coarser step gives a smaller bound on a coarser payload.

    Raises:
        ValueError: shapes that do not fit, NaN, another number of bits.
    """
    names = {value: name for name, value in TABLE_BITS.items()}
    if bits not in names:
        raise ValueError(f"bits must be one of {sorted(names)}, not {bits}")
    train, test = (to_numpy(z).astype(np.float32) for z in (z_train_NCHW, z_test_NCHW))
    if train.shape[1:] != test.shape[1:] or test.ndim != 4 or not len(test):
        raise ValueError(
            f"features must be N x C x H x W of one shape, one or more of each; got {train.shape} and "
            f"{test.shape}"
        )
    spec = next(spec for spec in calibrate(train) if spec.name == names[bits])
    codec = SealedCodec(spec, 0, FeatureSpec(*test.shape[1:]), _NO_DIGEST)
    bits_per_level = _bits_per_level(spec, test.shape[1])
    coded_N = np.array([_code_length(bits_per_level, codec, feature) for feature in test], dtype=float)
    return CodedSize(float(coded_N.mean()), float(np.percentile(coded_N, 95)), float(coded_N.max()))


def _code_length(
    bits_per_level: NDArray[np.float64], codec: SealedCodec, feature_CHW: NDArray[np.float32]
) -> int:
    """``ceil(-log2 q)`` of one feature's levels under the codec's tables, in bits."""
    assert isinstance(codec.body, TableBody)
    levels = codec.body.quantiser.quantise(feature_CHW.reshape(len(feature_CHW), -1))
    bits = np.take_along_axis(bits_per_level, levels, axis=1).sum()
    # a sum that is whole but for rounding must not count one bit more
    return math.ceil(float(bits) - 1e-6)


def _bits_per_level(spec: CodecSpec, channels: int) -> NDArray[np.float64]:
    """``-log2 q`` of each level, channels x levels."""
    stored = np.frombuffer(base64.b64decode(spec.parameters["counts"]), dtype="<u2")
    counts = stored.reshape(channels, spec.parameters["levels"])
    bits: NDArray[np.float64] = spec.parameters["precision_bits"] - np.log2(counts.astype(np.float64))
    return bits
