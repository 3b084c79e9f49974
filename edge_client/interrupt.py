"""A wish to end one delivery, spoken from any thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupt:
    """Ends what its owner waits for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None

    def set(self) -> None:
        """Speak the wish; what is being waited for is cancelled."""
        self._event.set()
        with self._lock:
            cancel = self._cancel
        if cancel is not None:
            cancel()

    @property
    def is_set(self) -> bool:
        """Whether the wish was spoken."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> None:
        """Wait, but no longer than until the wish is spoken."""
        self._event.wait(timeout_s)

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """While inside, the wish is passed on to this; so is any exception."""
        with self._lock:
            self._cancel = cancel
        try:
            if self.is_set:
                cancel()
            yield
        except BaseException:
            cancel()
            raise
        finally:
            with self._lock:
                self._cancel = None
