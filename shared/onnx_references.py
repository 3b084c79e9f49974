"""Whether an ONNX graph keeps weights in other files, read from its bytes without the onnx package.

A graph names such files itself, so whoever checks the graph's digest alone would run weights that nobody
vouched for, or let a foreign bundle read files of this machine.
"""

from collections.abc import Iterator

# field number -> what lies in it, for the messages of onnx.proto3 that lead to tensors
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def reads_other_files(model: bytes) -> bool:
    """Whether any tensor of a graph lies in another file; bytes that are no graph name none.

    >>> reads_other_files(b"junk")
    False
    """
    waiting = [("model", memoryview(model))]
    while waiting:
        kind, data = waiting.pop()
        for number, part in _fields(data):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and part != 0):
                    return True
            elif (inner := _PARTS[kind].get(number)) and isinstance(part, memoryview):
                waiting.append((inner, part))
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Numbers and contents of a protobuf message's fields, as far as it is one."""
    place = 0
    try:
        while place < len(data):
            tag, place = _varint(data, place)
            wire_type, content = tag & 7, 0
            if wire_type == _VARINT:
                content, place = _varint(data, place)
            elif wire_type in (_FIXED64, _FIXED32):
                place += 8 if wire_type == _FIXED64 else 4
            elif wire_type == _LENGTH:
                size, place = _varint(data, place)
                yield tag >> 3, data[place : place + size]
                place += size
                continue
            yield tag >> 3, content
    except IndexError:
        return


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise IndexError(place)
