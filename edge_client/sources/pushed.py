"""Pictures as JSON lines from a file descriptor: where each lies, or that its bytes follow."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.feed import MAX_LINE_BYTES, Feed

MAX_PICTURE_BYTES = 256 << 20
_FIELDS = {"path": str, "bytes": int, "name": str, "label": str}


class PushedPictures:
    """Pictures that another program hands over, which need not lie in any file.

    One line of JSON each: `{"path": "faces/1.png", "label": "anna"}`, or `{"bytes": 5120, "name": "webcam"}`
    and then so many bytes of an encoded picture. `name` and `label` may be left out.

    Args:
        descriptor: an open file descriptor, 0 for standard input.
    """

    keeps_latest = False

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        feed = Feed(self._descriptor, stop)
        for number, line in enumerate(feed.lines(), start=1):
            try:
                fields = _fields_of(line)
            except ValueError as error:
                raise SourceError(f"picture {number} on standard input: {error}") from None
            if fields:
                yield _picture(fields, feed, number)


def _fields_of(line: bytes) -> dict[str, Any]:
    """The checked fields of a line; empty for an empty one."""
    if not line.strip():
        return {}
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"a line longer than {MAX_LINE_BYTES} bytes")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {line[:80]!r}") from None
    if not isinstance(fields, dict) or ("path" in fields) == ("bytes" in fields):
        raise ValueError('expected a JSON object with either "path" or "bytes"')
    for name, value in fields.items():
        if name not in _FIELDS:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(_FIELDS)}")
        if type(value) is not _FIELDS[name] and not (name == "label" and value is None):
            raise ValueError(f"{name} must be of type {_FIELDS[name].__name__}")
    if not 0 < fields.get("bytes", 1) <= MAX_PICTURE_BYTES:
        raise ValueError(f"bytes must be 1 to {MAX_PICTURE_BYTES}, not {fields['bytes']}")
    return fields


def _picture(fields: dict[str, Any], feed: Feed, number: int) -> Picture:
    label = fields.get("label")
    if "path" in fields:
        return Picture(fields.get("name", fields["path"]), Path(fields["path"]), label)
    encoded = feed.exactly(fields["bytes"])
    if len(encoded) < fields["bytes"]:
        raise SourceError(
            f"picture {number} on standard input: it ended after {len(encoded)} of {fields['bytes']} bytes"
        )
    return Picture(fields.get("name", f"picture {number}"), encoded, label)
