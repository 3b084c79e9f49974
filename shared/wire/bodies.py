"""Bodies that seal themselves at their end: the values as they are, or levels under one table per channel."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire.entropy import make_tables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.quantiser import Quantiser
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal
from siftfunnel.shared.wire.stack import one_run_each

HALF_MAX = 65504.0


class Body(Protocol):
    """Feature tensor to payload and back, sealed; the shape is known beforehand."""

    @property
    def least_bytes(self) -> int:
        """The shortest payload that can be right."""

    @property
    def most_bytes(self) -> int:
        """The longest payload that can be right."""

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """Encode finite float32 values, shape (channels, height * width)."""

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """Decode, same shape; the caller has checked the length.

        Raises:
            CodecError: not a payload that `write` makes under this seal.
        """


class FloatBody:
    """The values themselves, as float32 or float16."""

    def __init__(self, feature: FeatureSpec, dtype: str) -> None:
        self._feature = feature
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self.least_bytes = self.most_bytes = feature.size * self._dtype.itemsize + SEAL_BYTES

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """See `Body`; float16 saturates instead of overflowing to infinity."""
        if self._dtype.itemsize == 2:
            features = np.clip(features, -HALF_MAX, HALF_MAX)
        return seal.close(features.astype(self._dtype).tobytes())

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """See `Body`; NaN and infinity are refused here as they are when writing."""
        values = np.frombuffer(seal.open(payload), dtype=self._dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise CodecError("body holds NaN or infinity")
        return values.reshape(self._feature.channels, -1)


class AffineBody:
    """One byte per value under one step for the whole tensor."""

    def __init__(self, feature: FeatureSpec, quantiser: Quantiser) -> None:
        self._feature = feature
        self.quantiser = quantiser
        self.least_bytes = self.most_bytes = feature.size + SEAL_BYTES

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """See `Body`."""
        return seal.close(self.quantiser.quantise(features).astype(np.uint8).tobytes())

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """See `Body`; every byte is a level."""
        levels = np.frombuffer(seal.open(payload), dtype=np.uint8).astype(np.int32)
        return self.quantiser.dequantise(levels.reshape(self._feature.channels, -1))


class TableBody:
    """Levels under one step per channel, entropy coded with static tables."""

    def __init__(
        self, feature: FeatureSpec, quantiser: Quantiser, counts: NDArray[np.uint16], precision_bits: int
    ) -> None:
        self._shape = (feature.channels, feature.height * feature.width)
        self._runs = one_run_each(*self._shape)
        self.quantiser = quantiser
        self._tables = make_tables(list(counts))
        self.least_bytes = SEAL_BYTES
        # a level costs precision_bits at most, the coder loses less than one more, and ends in two words
        self.most_bytes = 4 * -(-feature.size * (precision_bits + 1) // 32) + 16 + SEAL_BYTES

    def write(self, features: NDArray[np.float32], seal: Seal) -> bytes:
        """See `Body`."""
        levels = self.quantiser.quantise(features)
        return seal.close(self._tables.write(levels.ravel(), self._runs))

    def read(self, payload: bytes, seal: Seal) -> NDArray[np.float32]:
        """See `Body`."""
        reader = self._tables.read(seal.open(payload))
        levels = np.concatenate(reader.pop(self._runs)).reshape(self._shape)
        reader.finish()
        return self.quantiser.dequantise(levels)
