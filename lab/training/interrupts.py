"""Ctrl-C that waits for a point at which all is consistent."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Within its ``with`` the first Ctrl-C is only noted; callers ask ``noted`` between steps.

    A second one takes effect at once. Outside of the main thread, where no signal arrives, nothing changes.

    Attributes:
        noted: Whether somebody asked to stop.
    """

    def __init__(self) -> None:
        self.noted = False
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        """Begin to hold back."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Back to what Ctrl-C did before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True
