"""Which connections are let go: uvicorn itself waits for the rest of a request's head for ever."""

from collections.abc import Iterable
from typing import Any

MAX_CONNECTIONS = 256
REQUEST_WAIT_S = 10.0


class SilentConnections:
    """Finds connections that ask for nothing and only hold a place."""

    def __init__(self) -> None:
        self._since_s: dict[Any, float] = {}

    def to_close(self, connections: Iterable[Any], now_s: float) -> list[Any]:
        """Those that have been silent for too long, and the longest silent ones of too many.

        Args:
            connections: uvicorn's protocols; `cycle` is a request and its answer, None before the first one.
            now_s: the time, on a steady clock.
        """
        all_of_them = list(connections)
        silent = [each for each in all_of_them if each.cycle is None or each.cycle.response_complete]
        self._since_s = {each: self._since_s.get(each, now_s) for each in silent}
        silent.sort(key=self._since_s.__getitem__)
        surplus = max(0, len(all_of_them) - MAX_CONNECTIONS)
        late = [each for each in silent[surplus:] if now_s - self._since_s[each] > REQUEST_WAIT_S]
        return silent[:surplus] + late
