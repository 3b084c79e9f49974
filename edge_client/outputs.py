"""Where outcomes go: a line of JSON each, a line for people, or outputs as files of numpy."""

import errno
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from siftfunnel.edge_client.outcome import Answer, FrameFailure, Outcome, Superseded
from siftfunnel.shared.console import STANDARD_OUTPUT
from siftfunnel.shared.files import naming
from siftfunnel.shared.showing import printable

MOST_VALUES = 1024
"""Values of an output that a line of JSON holds; `--output npz:DIR` saves larger ones."""


def output_as_json(array: NDArray[Any]) -> dict[str, Any]:
    """Type, shape and values as nested lists; null for what is no number, and for too many of them.

    >>> output_as_json(np.array([[1.5, np.nan]], np.float32))
    {'dtype': 'float32', 'shape': [1, 2], 'values': [[1.5, None]]}
    """
    told = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size > MOST_VALUES:
        return {**told, "values": None, "saved_by": "--output npz:DIR"}
    values = array.astype(object)
    values[~np.isfinite(array)] = None
    return {**told, "values": values.tolist()}


def output_in_words(array: NDArray[Any]) -> str:
    """Shape and range.

    >>> [output_in_words(each) for each in (np.array([[0.0, 2.5]]), np.zeros((0, 4)), np.array(7))]
    ['1x2 in [0, 2.5]', '0x4', '7']
    """
    shape = "x".join(map(str, array.shape))
    finite = array[np.isfinite(array)]
    if not finite.size:
        return f"{shape} without a finite value" if array.size else shape
    if array.size == 1:
        return f"{finite[0]:.4g}"
    low, high = float(finite.min()), float(finite.max())
    return f"{shape} in [{low:.4g}, {high:.4g}]"


class Archive:
    """Writes `BUNDLE-SEQUENCE.npz` for each answer, an array for each output by its name.

    `numpy.load(file, allow_pickle=False)` reads them. Answers without outputs, and other outcomes, have none.

    Args:
        place: a folder; made if need be.

    Raises:
        ValueError: it holds such files of an earlier run, which would be mixed with this one's.
        OSError: it cannot be made.
    """

    for_people = False

    def __init__(self, place: str) -> None:
        self._folder = Path(place)
        with naming(place):
            self._folder.mkdir(parents=True, exist_ok=True)
        if next(self._folder.glob("*.npz"), None) is not None:
            raise ValueError(f"--output npz:{place}: holds outputs of an earlier run; name another folder")

    def write(self, outcome: Outcome) -> None:
        """See `Output`."""
        if not isinstance(outcome, Answer) or not outcome.outputs:
            return
        path = self._folder / f"{outcome.bundle}-{outcome.sequence:08}.npz"
        with naming(str(path)), zipfile.ZipFile(path, "w") as archive:
            for name, array in outcome.outputs.items():
                # numpy's own savez takes names as arguments, and some names are taken
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    def close(self) -> None:
        """See `Output`."""


class Output(Protocol):
    """Takes outcomes one by one.

    Attributes:
        for_people: whether it writes to the terminal what people read.
    """

    for_people: bool

    def write(self, outcome: Outcome) -> None:
        """Write one outcome; it is there for readers when this returns."""

    def close(self) -> None:
        """Write no more."""


def outcome_kind(outcome: Outcome) -> str:
    """What outputs call it: "answer", "error", "superseded", or "skipped" for what never became a frame."""
    if isinstance(outcome, FrameFailure):
        return "skipped" if outcome.sequence is None else "error"
    return "answer" if isinstance(outcome, Answer) else "superseded"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome in the form that docs/design.md gives; every field is there, null where it has no value."""
    answer = outcome if isinstance(outcome, Answer) else None
    failure = outcome if isinstance(outcome, FrameFailure) else None
    encoded = answer or failure
    server = answer.server if answer else None
    return {
        "sequence": outcome.sequence,
        "source": outcome.source,
        "label": outcome.label,
        "outcome": outcome_kind(outcome),
        "top": [{"class": each.name, "id": each.id, "score": each.score} for each in answer.top]
        if answer
        else [],
        "error": f"{failure.code}: {failure.message}" if failure else None,
        "edge_ms": encoded and encoded.edge_ms,
        "round_trip_ms": encoded and encoded.round_trip_ms,
        "payload_bytes": encoded and encoded.payload_bytes,
        "sends": encoded.sends if encoded else 0,
        "bundle": outcome.bundle,
        "codec": outcome.codec,
        "server": server
        and {
            "queue_us": server.queue_us,
            "decode_us": server.decode_us,
            "compute_us": server.compute_us,
            "batch_size": server.batch_size,
        },
        "outputs": {name: output_as_json(array) for name, array in answer.outputs.items()} if answer else {},
        "transform": _transform_as_json(answer) if answer and answer.outputs else None,
    }


def _transform_as_json(answer: Answer) -> dict[str, Any] | None:
    way = answer.transform
    return None if way is None else {"scale": list(way.scale), "offset": list(way.offset)}


def as_line(outcome: Outcome) -> str:
    """An outcome for people, in one line.

    >>> as_line(Superseded(7, "camera 0#7", None))
    '     7  camera 0#7: superseded by a newer picture'
    """
    source = printable(outcome.source)
    number = "     -" if outcome.sequence is None else f"{outcome.sequence:6}"
    if isinstance(outcome, Superseded):
        return f"{number}  {source}: superseded by a newer picture"
    if isinstance(outcome, FrameFailure):
        return f"{number}  {source}: {outcome.code}, {printable(outcome.message)}"
    verdict = ""
    if outcome.label is not None:
        verdict = " (right)" if outcome.right else f" (labelled {printable(outcome.label)})"
    return (
        f"{number}  {source}: {_said(outcome, 2)}{verdict}   edge {outcome.edge_ms:.1f} ms, "
        f"round trip {outcome.round_trip_ms:.1f} ms, {outcome.payload_bytes} bytes"
    )


def as_verdict(answer: Outcome) -> str:
    """An answer for people who ask for nothing but the classes.

    Raises:
        TypeError: an outcome that is no answer.
    """
    if not isinstance(answer, Answer):
        raise TypeError(f"expected an answer, not {answer}")
    return f"{printable(answer.source)}: {_said(answer, 3)}"


def _said(answer: Answer, digits: int) -> str:
    """Classes with their scores, then the outputs beside them."""
    best = ", ".join(f"{each.name} {each.score:.{digits}f}" for each in answer.top)
    parts = [best] if answer.top else []
    parts += [f"{printable(name)} {output_in_words(array)}" for name, array in answer.outputs.items()]
    return "; ".join(parts) or "no classes, and no outputs were asked for"


class Lines:
    """Lines of text at the end of a file, or on standard output for "-"."""

    def __init__(self, place: str, form: Callable[[Outcome], str]) -> None:
        self._form = form
        self._place = STANDARD_OUTPUT if place == "-" else place
        self.for_people = place == "-" and form is as_line
        with naming(self._place):
            self._file = _standard_output() if place == "-" else _open_to_append(Path(place))

    def write(self, outcome: Outcome) -> None:
        """See `Output`."""
        with naming(self._place):
            self._file.write(self._form(outcome) + "\n")
            self._file.flush()

    def close(self) -> None:
        """See `Output`."""
        if self._file is not sys.stdout:
            with naming(self._place):
                self._file.close()


def _standard_output() -> TextIO:
    # None where the process was started with it closed
    if sys.stdout is None:
        raise OSError(errno.EBADF, "closed")
    return sys.stdout


def _open_to_append(path: Path) -> TextIO:
    """Open a file behind what it holds: the answers of an earlier run are not ours to delete."""
    file = path.open("a", encoding="utf-8", errors="backslashreplace")
    if _ends_within_a_line(path):
        # an earlier run was killed while it wrote
        file.write("\n")
    return file


def _ends_within_a_line(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _json_line(outcome: Outcome) -> str:
    # ASCII, so that any terminal takes it and a name that is no UTF-8 comes back as the same path
    return json.dumps(as_json(outcome), allow_nan=False)


OUTPUTS: Mapping[str, Callable[[str], Output]] = MappingProxyType(
    {
        "jsonl": lambda place: Lines(place, _json_line),
        "text": lambda place: Lines(place, as_line),
        "npz": Archive,
    }
)
"""The word before the colon of `--output` -> what opens the place after it."""


def open_output(text: str) -> Output:
    """Open what `--output KIND:PLACE` means; a PLACE of "-" is standard output, a file is added to.

    Raises:
        ValueError: another form, or an unknown kind.
        OSError: the file cannot be written.
    """
    kind, colon, place = text.partition(":")
    if not colon or not place or kind not in OUTPUTS:
        raise ValueError(
            f"--output {text!r}: expected jsonl:FILE or text:FILE, with - for standard output, or npz:DIR"
        )
    return OUTPUTS[kind](place)
