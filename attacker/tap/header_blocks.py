"""Header blocks of one direction: fragments put together, HPACK decoded, the table's history known or not.

HPACK tables live as long as the connection. Whoever joins midway lacks the entries made before; those made
since have the same indices for him as for the peers (the newest entry always comes first), so that he can
read new fields and has to leave the others blank.
"""

from collections import deque
from dataclasses import dataclass, field

from hpack import Decoder
from hpack.table import HeaderTable
from hyperframe.frame import ContinuationFrame, HeadersFrame, PushPromiseFrame

_MAX_TABLE_BYTES = 1 << 16
_SMALLEST_ENTRY_BYTES = 32
UNKNOWN = b""


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """One decoded block; `fields` maps names to their last value, those that were blank left out."""

    stream_id: int
    fields: dict[str, str]
    ends_stream: bool


@dataclass
class _Open:
    stream_id: int
    ends_stream: bool
    fragments: list[bytes] = field(default_factory=list)
    byte_count: int = 0


class _PartialTable(HeaderTable):  # type: ignore[misc, unused-ignore]
    """A header table whose older entries were never seen: they read as blank instead of being an error."""

    dynamic_entries: deque[tuple[bytes, bytes]]

    def get_by_index(self, index: int) -> tuple[bytes, bytes]:
        known = HeaderTable.STATIC_TABLE_LENGTH + len(self.dynamic_entries)
        if known < index <= HeaderTable.STATIC_TABLE_LENGTH + _MAX_TABLE_BYTES // _SMALLEST_ENTRY_BYTES:
            return UNKNOWN, UNKNOWN
        name, value = super().get_by_index(index)
        return bytes(name), bytes(value)


class HeaderReader:
    """Reads the header blocks of one direction in the order in which they pass."""

    def __init__(self, joined_midway: bool, max_block_bytes: int) -> None:
        self._max_block_bytes = max_block_bytes
        self._decoder = _decoder(joined_midway, max_block_bytes)
        self._open: _Open | None = None

    def lose_step(self) -> None:
        """Something was missed: the table is no longer what the sender has."""
        self._decoder = _decoder(True, self._max_block_bytes)
        self._open = None

    def receive(self, frame: HeadersFrame | ContinuationFrame | PushPromiseFrame) -> HeaderBlock | str | None:
        """Take one frame: a block when it completes one, a sentence when it cannot be read, else None."""
        if isinstance(frame, ContinuationFrame):
            if self._open is None or self._open.stream_id != frame.stream_id:
                self.lose_step()
                return "CONTINUATION without a header block to continue"
        else:
            stream_id = frame.promised_stream_id if isinstance(frame, PushPromiseFrame) else frame.stream_id
            self._open = _Open(stream_id, "END_STREAM" in frame.flags)
        self._open.fragments.append(frame.data)
        self._open.byte_count += len(frame.data)
        if self._open.byte_count > self._max_block_bytes or len(self._open.fragments) > self._max_block_bytes:
            self.lose_step()
            return f"header block over {self._max_block_bytes} bytes"
        return self._decode(self._open) if "END_HEADERS" in frame.flags else None

    def _decode(self, block: _Open) -> HeaderBlock | str:
        self._open = None
        try:
            decoded = self._decoder.decode(b"".join(block.fragments), raw=True)
            pairs = [(bytes(name), bytes(value)) for name, value in decoded]
        except Exception as error:  # a foreign parser on hostile bytes: whatever it raises, the table is lost
            self.lose_step()
            return f"header block cannot be decoded ({error or type(error).__name__})"
        fields = {n.decode("latin-1"): v.decode("utf-8", "replace") for n, v in pairs if n != UNKNOWN}
        return HeaderBlock(block.stream_id, fields, block.ends_stream)


def _decoder(joined_midway: bool, max_block_bytes: int) -> Decoder:
    decoder = Decoder(max_header_list_size=max_block_bytes)
    if joined_midway:
        decoder.header_table = _PartialTable()
    # Senders announce a larger table within the block itself, so the SETTINGS that allow it need no tracking.
    decoder.max_allowed_table_size = _MAX_TABLE_BYTES
    return decoder
