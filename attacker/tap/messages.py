"""gRPC messages out of the DATA frames of one call in one direction.

A message is a byte (1: compressed), four bytes of length, and that many bytes of body; where the DATA
frames are cut means nothing. When the beginning of a call was missed, or a part in the middle, the reader
waits for a DATA frame that begins like a message, believes it once the whole message proves to be a Frame
or a Reply, and goes on from there. Compressed messages come out as what they were before.
"""

from collections.abc import Callable
from dataclasses import dataclass

from siftfunnel.attacker.tap.inflate import InflateError
from siftfunnel.attacker.tap.shape import Content, may_begin_message

PREFIX_BYTES = 5


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; `end` is where its last byte ends."""

    body: bytes
    content: Content
    end: int


@dataclass(frozen=True, slots=True)
class MessageSkipped:
    """A message that was not kept."""

    byte_count: int
    why: str


class Budget:
    """Bytes that all readers of a connection may hold together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, byte_count: int) -> bool:
        """Hold more; False when there is no room."""
        if self.used_bytes + byte_count > self._limit_bytes:
            return False
        self.used_bytes += byte_count
        return True

    def give_back(self, byte_count: int) -> None:
        """Hold less."""
        self.used_bytes -= byte_count


class MessageReader:
    """Puts messages together.

    Args:
        max_message_bytes: longest message that is kept.
        budget: what may be held, shared with other readers.
        read: reads a body, by its shape alone where the flag says that it was found by guessing.
        inflate: a compressed body to what it was before; raises `InflateError`.
        in_step: whether the first bytes to come begin a message.
    """

    def __init__(
        self,
        max_message_bytes: int,
        budget: Budget,
        read: Callable[[bytes, bool], Content],
        inflate: Callable[[bytes], bytes],
        in_step: bool,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._budget = budget
        self._read = read
        self._inflate = inflate
        self._in_step = in_step
        self._on_trial = False
        self._buffer = bytearray()
        self._skip_bytes = 0

    def receive(self, payload: bytes, position: int) -> list[Message | MessageSkipped]:
        """Take the payload of one DATA frame; it begins at `position` of its direction."""
        found: list[Message | MessageSkipped] = []
        at = 0
        while at < len(payload):
            if not (self._in_step or self._on_trial) and not self._begin_trial(payload, at):
                break
            at = self._take(payload, at, position, found)
        return found

    def begin(self) -> None:
        """The headers that come before the first message were just heard."""
        if not self._buffer:
            self._in_step, self._on_trial = True, False

    def lose_step(self) -> MessageSkipped | None:
        """A part was missed: the unfinished message is gone, and where the next one begins is not known."""
        lost_bytes = len(self._buffer)
        unfinished = lost_bytes > 0 or self._skip_bytes > 0
        self._forget()
        self._in_step = self._on_trial = False
        self._skip_bytes = 0
        return MessageSkipped(lost_bytes, "a part of it was missed") if unfinished else None

    def close(self) -> None:
        """Let go of what is held."""
        self._forget()

    def _begin_trial(self, payload: bytes, at: int) -> bool:
        self._on_trial = at == 0 and may_begin_message(payload, self._max_message_bytes)
        return self._on_trial

    def _take(self, payload: bytes, at: int, position: int, found: list[Message | MessageSkipped]) -> int:
        """Take from `payload` what belongs to the current message; the offset of what is left."""
        if self._skip_bytes:
            step = min(self._skip_bytes, len(payload) - at)
            self._skip_bytes -= step
            return at + step
        wanted = self._wanted_bytes() - len(self._buffer)
        step = min(wanted, len(payload) - at)
        if not self._budget.take(step):
            found.append(self._no_room())
            return at if self._skip_bytes else len(payload)
        self._buffer += payload[at : at + step]
        at += step
        if len(self._buffer) == PREFIX_BYTES and (refused := self._refuse()):
            found.append(refused)
        elif len(self._buffer) >= PREFIX_BYTES and len(self._buffer) == self._wanted_bytes():
            self._finish(position + at, found)
        return at

    def _wanted_bytes(self) -> int:
        if len(self._buffer) < PREFIX_BYTES:
            return PREFIX_BYTES
        return PREFIX_BYTES + int.from_bytes(self._buffer[1:PREFIX_BYTES], "big")

    def _refuse(self) -> MessageSkipped | None:
        """Decide from the prefix alone that a message will not be kept."""
        byte_count = self._wanted_bytes() - PREFIX_BYTES
        if self._buffer[0] > 1:
            self._forget()
            self._in_step = self._on_trial = False
            return MessageSkipped(byte_count, "no gRPC message begins like this")
        if byte_count <= self._max_message_bytes:
            return None
        self._forget()
        self._skip_bytes = byte_count
        return MessageSkipped(byte_count, f"message over {self._max_message_bytes} bytes")

    def _no_room(self) -> MessageSkipped:
        byte_count = max(0, self._wanted_bytes() - PREFIX_BYTES)
        if len(self._buffer) < PREFIX_BYTES:
            self._in_step = self._on_trial = False
        else:
            self._skip_bytes = self._wanted_bytes() - len(self._buffer)
        self._forget()
        return MessageSkipped(byte_count, "too many unfinished messages at once")

    def _finish(self, end: int, found: list[Message | MessageSkipped]) -> None:
        outcome = self._unpack(bytes(self._buffer[PREFIX_BYTES:]), compressed=self._buffer[0] == 1)
        self._forget()
        guessed, self._on_trial = self._on_trial, False
        if isinstance(outcome, MessageSkipped):
            if not guessed:
                found.append(outcome)
            return
        content = self._read(outcome, guessed)
        self._in_step = self._in_step or content.kind != "other"
        if self._in_step:
            found.append(Message(outcome, content, end))

    def _unpack(self, body: bytes, compressed: bool) -> bytes | MessageSkipped:
        try:
            return self._inflate(body) if compressed else body
        except InflateError as error:
            return MessageSkipped(len(body), str(error))

    def _forget(self) -> None:
        self._budget.give_back(len(self._buffer))
        self._buffer.clear()
