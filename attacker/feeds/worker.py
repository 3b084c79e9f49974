"""The one thread behind a feed: started once, asked to stop, waited for."""

import threading
from collections.abc import Callable
from typing import Any

_STOP_TIMEOUT_S = 5.0


class Worker:
    """Runs a feed's loop; the loop looks at `stopping` and ends when it is set."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, run: Callable[..., None], *args: Any, name: str) -> None:
        """Run `run(*args)` on a thread that does not keep the process alive."""
        self._thread = threading.Thread(target=run, args=args, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end and wait for it, 5 s at most; more than once is fine."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._thread = None
