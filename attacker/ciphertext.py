"""What is left to see of an encrypted channel: sizes, directions, times."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from siftfunnel.attacker.tap.events import Opaque

KEPT_RECORDS = 120


@dataclass
class Leftovers:
    """The latest unreadable records of one tap.

    Attributes:
        records: (time in seconds, direction, bytes), oldest first.
        reason: why the latest one cannot be read.
        total_bytes: all that passed unreadable.
    """

    records: deque[tuple[float, str, int]] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    reason: str | None = None
    total_bytes: int = 0

    def heard(self, event: Opaque) -> None:
        """Take one record into account."""
        self.records.append((event.time_s, event.direction, event.byte_count))
        self.reason = event.reason
        self.total_bytes += event.byte_count

    def as_json(self) -> dict[str, Any]:
        """For the page: times relative to the latest record, seconds."""
        latest = self.records[-1][0] if self.records else 0.0
        return {
            "reason": self.reason,
            "total_bytes": self.total_bytes,
            "latest_s": latest,
            "records": [
                [round(time_s - latest, 4), direction, size] for time_s, direction, size in self.records
            ],
        }
