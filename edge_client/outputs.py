"""Where outcomes go: a line of JSON each, or a line for people."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TextIO

from edge_client.outcome import Answer, FrameFailure, Outcome, Superseded


class Output(Protocol):
    """Takes outcomes one by one."""

    def write(self, outcome: Outcome) -> None:
        """Write one outcome; it is there for readers when this returns."""

    def close(self) -> None:
        """Write no more."""


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
        "outcome": "answer" if answer else "error" if failure else "superseded",
        "top": [{"class": each.name, "score": each.score} for each in answer.top] if answer else [],
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
    }


def as_line(outcome: Outcome) -> str:
    """An outcome for people, in one line.

    >>> as_line(Superseded(7, "camera 0#7", None))
    '     7  camera 0#7: superseded by a newer picture'
    """
    number = "     -" if outcome.sequence is None else f"{outcome.sequence:6}"
    if isinstance(outcome, Superseded):
        return f"{number}  {outcome.source}: superseded by a newer picture"
    if isinstance(outcome, FrameFailure):
        return f"{number}  {outcome.source}: {outcome.code}, {outcome.message}"
    best = ", ".join(f"{each.name} {each.score:.2f}" for each in outcome.top)
    verdict = ""
    if outcome.label is not None:
        verdict = " (right)" if outcome.label == outcome.class_name else f" (labelled {outcome.label})"
    return (
        f"{number}  {outcome.source}: {best}{verdict}   edge {outcome.edge_ms:.1f} ms, "
        f"round trip {outcome.round_trip_ms:.1f} ms, {outcome.payload_bytes} bytes"
    )


class _Lines:
    """Lines of text to a file, or to standard output for "-"."""

    def __init__(self, place: str, form: Callable[[Outcome], str]) -> None:
        self._form = form
        self._file: TextIO = sys.stdout if place == "-" else Path(place).open("w", encoding="utf-8")  # noqa: SIM115

    def write(self, outcome: Outcome) -> None:
        """See `Output`."""
        self._file.write(self._form(outcome) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See `Output`."""
        if self._file is not sys.stdout:
            self._file.close()


def _json_line(outcome: Outcome) -> str:
    return json.dumps(as_json(outcome), ensure_ascii=False, allow_nan=False)


OUTPUTS: Mapping[str, Callable[[str], Output]] = MappingProxyType(
    {
        "jsonl": lambda place: _Lines(place, _json_line),
        "text": lambda place: _Lines(place, as_line),
    }
)
"""The word before the colon of `--output` -> what opens the place after it."""


def open_output(text: str) -> Output:
    """Open what `--output KIND:PLACE` means; a PLACE of "-" is standard output.

    Raises:
        ValueError: another form, or an unknown kind.
        OSError: the file cannot be written.
    """
    kind, colon, place = text.partition(":")
    if not colon or not place or kind not in OUTPUTS:
        kinds = " or ".join(f"{known}:FILE" for known in OUTPUTS)
        raise ValueError(f"--output {text!r}: expected {kinds}, with - for standard output")
    return OUTPUTS[kind](place)
