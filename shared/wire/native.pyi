from typing import Any

from numpy.typing import NDArray

from siftfunnel.shared.wire.levels import Pop
from siftfunnel.shared.wire.stack import Runs

REVISION: int

class _Coder: ...

def all_finite(values: NDArray[Any]) -> bool: ...
def lattice(
    channels: int,
    height: int,
    width: int,
    levels: int,
    places: int,
    index: NDArray[Any],
    order: NDArray[Any],
    steps: NDArray[Any],
    tables: NDArray[Any],
) -> _Coder: ...
def signed(
    channels: int,
    height: int,
    width: int,
    most: int,
    tables: int,
    kinds: int,
    activities: int,
    classes: int,
    index: NDArray[Any],
    order: NDArray[Any],
    steps: NDArray[Any],
    bounds: NDArray[Any],
    kind_of: NDArray[Any],
    mask_tables: NDArray[Any],
    level_tables: NDArray[Any],
    class_of_sum: NDArray[Any],
    mask_of_symbol: NDArray[Any],
    symbol_of_mask: NDArray[Any],
) -> _Coder: ...
def sort(coder: _Coder, features: NDArray[Any], coarser: int) -> tuple[bytes, bytes, Runs]: ...
def fill(coder: _Coder, flags: bytes, coarser: int, features: NDArray[Any], pop: Pop) -> bytes: ...
