"""Outputs beside classes, as an answer holds them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from siftfunnel.edge_client.errors import OutputError
from siftfunnel.shared.tensors import OutputSpec


class Outputs(Mapping[str, NDArray[Any]]):
    """What the cloud half gave of one frame, by name: read-only arrays without the axis of the batch.

    Args:
        arrays: those that were asked for.
        given: `Manifest.given`: all there are.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]] | None = None, given: Sequence[OutputSpec] = ()
    ) -> None:
        self._arrays = dict(arrays or {})
        self._given = tuple(given)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The output of that name.

        Raises:
            OutputError: there is none, or it was not asked for.
        """
        if name in self._arrays:
            return self._arrays[name]
        if any(output.name == name for output in self._given):
            raise OutputError(f"output {name!r} was not asked for; name it in outputs=")
        raise OutputError(f"no output {name!r}; this bundle gives {self._listed()}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Outputs({', '.join(f'{name} {a.dtype} {a.shape}' for name, a in self._arrays.items())})"

    @property
    def embedding(self) -> NDArray[Any]:
        """The one output that is an embedding.

        Raises:
            OutputError: there is none, there are several, or it was not asked for.
        """
        names = [output.name for output in self._given if output.kind == "embedding"]
        if not names:
            raise OutputError(f"no output is an embedding; this bundle gives {self._listed()}")
        if len(names) > 1:
            raise OutputError(
                f"several outputs are embeddings: {', '.join(names)}; take one of answer.outputs"
            )
        return self[names[0]]

    def _listed(self) -> str:
        return ", ".join(f"{output.name} ({output.kind})" for output in self._given) or "nothing"
