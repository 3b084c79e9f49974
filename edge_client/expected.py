"""What replies about a bundle may hold: its classes, and the outputs that calls ask for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.output_tensors import choose
from siftfunnel.shared.tensors import OutputSpec


@dataclass(frozen=True)
class Expected:
    """What a reply is checked against.

    Attributes:
        classes: names, in the order of the scores.
        ids: what tells them apart, likewise.
        given: `Manifest.given`.
        outputs: positions of the outputs that are asked for.
        max_output_bytes: what they may take together.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    given: tuple[OutputSpec, ...]
    outputs: tuple[int, ...] = ()
    max_output_bytes: int = MAX_OUTPUT_BYTES

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        outputs: Iterable[str] | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> Self:
        """For a bundle and the outputs that are asked for by name; None: all that are not scores.

        Raises:
            ValueError: the bundle has no such output; lists those that it has.
        """
        positions = choose(manifest.given, outputs)
        return cls(manifest.classes, manifest.ids, manifest.given, positions, max_output_bytes)
