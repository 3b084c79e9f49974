"""One frame on its way through a mode, with the moments at which it passed each stage."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from siftfunnel.bench.cells.pictures import LabelledFile


@dataclass(slots=True, eq=False)
class Frame:
    """A frame under measurement; moments are seconds of `time.perf_counter`, spans milliseconds.

    Attributes:
        file: Its picture.
        identity: LoadGen's name for it; None in a warm-up.
        issued_s: When it was asked for.
        begun_s: When the device turned to it.
        captured_s: Picture decoded, at the model's size.
        edged_s: The device's half is done.
        encoded_s: The payload is there.
        answered_s: The answer, or the failure, is in the device's hands.
        payload_bytes: Size of the payload; 0 where nothing is sent.
        queue_ms, decode_ms, cloud_ms: As the server tells.
        sends: How often it was sent.
        class_name: The answer.
        error: Code of the failure; None when answered.
    """

    file: LabelledFile
    identity: int | None = None
    issued_s: float = 0.0
    begun_s: float = 0.0
    captured_s: float = 0.0
    edged_s: float = 0.0
    encoded_s: float = 0.0
    answered_s: float = 0.0
    payload_bytes: int = 0
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    cloud_ms: float = 0.0
    sends: int = 0
    class_name: str | None = None
    error: str | None = None

    def begin(self) -> None:
        """The device turns to it."""
        self.begun_s = self.captured_s = self.edged_s = self.encoded_s = perf_counter()

    def finish(self, done: "Done", error: str | None = None) -> None:
        """The answer or the failure is there."""
        self.answered_s, self.error = perf_counter(), error
        done(self)

    @property
    def is_judged(self) -> bool:
        """Whether it was answered and its label is known."""
        return self.error is None and self.file.label is not None


Done = Callable[[Frame], None]
"""Told once of every frame, from any thread."""
