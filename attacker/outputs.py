"""What the page is told of a reply's tensors: an embedding's neighbours, boxes, or a tensor's figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.attacker.gallery import Gallery
from siftfunnel.attacker.pictures import address, tensor_picture
from siftfunnel.attacker.preview import Truth
from siftfunnel.shared.boxes import find_boxes
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.output_tensors import read_tensors
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec

MAX_SHOWN = 8
FIRST_VALUES = 6
_MAP_SIDE, _MAP_ASPECT = 3, 16

Outputs = Mapping[str, NDArray[np.generic]]


def outputs_of(tensors: Sequence[pb.Tensor], given: Sequence[OutputSpec]) -> Outputs | None:
    """A reply's tensors by name; None where they are not what the bundle says, as anybody may have sent them.

    Args:
        tensors: as overheard; which of them were asked for is not known.
        given: `Manifest.given`.
    """
    try:
        return read_tensors(tensors, given, sorted({each.output for each in tensors}), MAX_OUTPUT_BYTES)
    except (ValueError, IndexError):
        return None


def learn(gallery: Gallery, outputs: Outputs, given: Sequence[OutputSpec], digest: str, truth: Truth) -> None:
    """Let a picture be known by the embeddings that it was answered with."""
    for spec in given:
        if spec.kind == "embedding" and spec.name in outputs:
            gallery.learn(digest, spec.name, outputs[spec.name], truth)


def outputs_view(
    outputs: Outputs,
    given: Sequence[OutputSpec],
    input_size: tuple[int, int],
    digest: str,
    truth: Truth | None,
    gallery: Gallery,
) -> list[dict[str, Any]]:
    """One entry for each tensor, `MAX_SHOWN` at most: name, kind, shape, and what that kind tells.

    Args:
        outputs: as `outputs_of` reads them.
        given: `Manifest.given`.
        input_size: height and width of the model's input, pixels.
        digest: of the bundle.
        truth: the picture that was answered, where it is known.
        gallery: known pictures for embeddings to be compared with.
    """
    kinds = {output.name: output.kind for output in given}
    boxes = find_boxes(outputs, input_size)
    told = []
    for name, values in list(outputs.items())[:MAX_SHOWN]:
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape)}
        if kinds[name] == "embedding":
            told.append({**entry, "kind": "embedding", **gallery.nearest(digest, name, values, truth)})
        elif name in boxes:
            told.append({**entry, "kind": "boxes", "boxes": boxes[name]})
        else:
            told.append({**entry, "kind": "tensor", **_figures(values)})
    return told


def _figures(values: NDArray[np.generic]) -> dict[str, Any]:
    """Smallest and largest finite value, the first few, and a picture where the last two axes are a map."""
    numbers = values.reshape(-1).astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    sides = sorted(values.shape[-2:])
    is_map = len(sides) == 2 and sides[0] >= _MAP_SIDE and sides[1] <= _MAP_ASPECT * sides[0]
    return {
        "range": [_number(finite.min()), _number(finite.max())] if finite.size else None,
        "first": [_number(value) for value in numbers[:FIRST_VALUES]],
        "picture": address(tensor_picture(values)) if is_map else None,
    }


def _number(value: float) -> float | None:
    """Four digits of a number; None for what JSON has no word for."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
