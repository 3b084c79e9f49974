"""What was sent on one connection and has no reply yet: pure bookkeeping for `siftfunnel.edge_client.window`.

Replies come in the order of the frames. So a reply to a later frame shows that earlier ones were passed over,
and a reply that cannot be read belongs to the oldest frame that was not.
"""

from itertools import takewhile

from siftfunnel.edge_client.frame import Held


class Flight:
    """The frames in flight, and the replies that are owed.

    A frame that is given up in flight waits no more, but its reply is still owed: it takes a place in the
    server's window, and when it comes it is no stray.

    Args:
        now_s: present time.

    Attributes:
        last_sign_s: when a reply came that was owed, or the first frame was sent after none was.
        strays: replies to nothing that was sent, since the last reply to something.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._waiting: dict[int, Held] = {}
        self._owed: dict[int, None] = {}
        self._passed_s: dict[int, float] = {}
        self.last_sign_s = now_s
        self.strays = 0

    @property
    def waiting(self) -> list[Held]:
        """Frames in flight, in the order in which they were sent."""
        return list(self._waiting.values())

    def __len__(self) -> int:
        """Number of frames in flight."""
        return len(self._waiting)

    @property
    def owed(self) -> int:
        """Replies that have not come; at least as many as frames in flight."""
        return len(self._owed)

    def get(self, sequence: int) -> Held | None:
        """The frame in flight with this number."""
        return self._waiting.get(sequence)

    def oldest(self) -> int | None:
        """The frame whose reply is the next one."""
        return next((sequence for sequence in self._owed if sequence not in self._passed_s), None)

    def silent_s(self, now_s: float) -> float:
        """How long no reply that is owed has come, seconds."""
        return now_s - self.last_sign_s if self._owed else 0.0

    def send(self, held: Held, now_s: float) -> None:
        """A frame goes out."""
        if not self._owed:
            self.last_sign_s = now_s
        sequence = held.frame.sequence
        self._waiting[sequence] = held
        # one that goes out again is the youngest now
        self._owed.pop(sequence, None)
        self._owed[sequence] = None

    def reply(self, sequence: int, now_s: float) -> Held | None:
        """A reply came; the frame that waited for it, or None where none did."""
        if sequence not in self._owed:
            self.strays += 1
            return None
        self.last_sign_s, self.strays = now_s, 0
        for earlier in list(takewhile(lambda each: each != sequence, self._owed)):
            if earlier in self._waiting:
                self._passed_s.setdefault(earlier, now_s)
            else:
                del self._owed[earlier]
        del self._owed[sequence]
        return self.release(sequence)

    def release(self, sequence: int) -> Held | None:
        """A frame waits no more."""
        self._passed_s.pop(sequence, None)
        return self._waiting.pop(sequence, None)

    def passed_over(self, before_s: float) -> list[Held]:
        """Take out the frames that were passed over before that time."""
        overdue = [sequence for sequence, passed_s in self._passed_s.items() if passed_s <= before_s]
        return [held for sequence in overdue if (held := self.release(sequence)) is not None]

    @property
    def first_passed_s(self) -> float | None:
        """When the first frame was passed over that still waits."""
        return min(self._passed_s.values(), default=None)
