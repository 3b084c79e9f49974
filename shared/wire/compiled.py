"""The compiled part of the codecs (``native.c``), where there was a compiler when the project was installed.

Whatever it does NumPy does too, and makes the same bytes: `native` is None where it was not built.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.levels import Pop, Sorted

REVISION = 2
"""Of ``native.c``; what was built from another one is not used."""


def _load() -> ModuleType | None:
    try:
        module = import_module("siftfunnel.shared.wire.native")
    except ImportError:
        return None
    return module if module.REVISION == REVISION else None


native = _load()


class CompiledLevels:
    """See `siftfunnel.shared.wire.levels.Levels`; ``native.c`` does it.

    Args:
        compiled: the module.
        coder: what its `lattice` or `signed` made.
        shape: of the features, (channels, height * width).
    """

    def __init__(self, compiled: ModuleType, coder: Any, shape: tuple[int, int]) -> None:
        self._native, self._coder, self._shape = compiled, coder, shape

    def sort(self, features: NDArray[np.float32], coarser: int) -> Sorted:
        """See `Levels`."""
        told, symbols, runs = self._native.sort(self._coder, np.ascontiguousarray(features), coarser)
        return Sorted(told, np.frombuffer(symbols, np.int32), runs)

    def fill(self, flags: bytes, coarser: int, pop: Pop) -> tuple[bytes, NDArray[np.float32]]:
        """See `Levels`."""
        features = np.empty(self._shape, np.float32)
        try:
            return self._native.fill(self._coder, flags, coarser, features, pop), features
        except CodecError:
            raise
        except ValueError as error:
            raise CodecError(f"body {error}") from None
