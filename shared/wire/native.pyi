from typing import Any

from numpy.typing import NDArray

REVISION: int

class _Lattice: ...
class _Filling: ...

Runs = list[tuple[int, int, int]]

def all_finite(values: NDArray[Any]) -> bool: ...
def prepare(
    channels: int,
    height: int,
    width: int,
    levels: int,
    places: int,
    tables: int,
    index: NDArray[Any],
    steps: NDArray[Any],
    keys: NDArray[Any],
) -> _Lattice: ...
def sort(
    lattice: _Lattice, features: NDArray[Any], symbols: NDArray[Any], coarser: int
) -> tuple[bytes, Runs]: ...
def begin(lattice: _Lattice, flags: bytes) -> tuple[_Filling, Runs | None]: ...
def fill(filling: _Filling, popped: list[NDArray[Any]]) -> Runs | None: ...
def finish(filling: _Filling, features: NDArray[Any], coarser: int) -> bytes: ...
