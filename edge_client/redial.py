"""What a call that ended means: a wait before the next one, or the error that ends all of it."""

import logging
import time
from dataclasses import replace

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.errors import ServerUnreachable
from siftfunnel.edge_client.outcome import BUDGET_EXCEEDED
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.status import status_error
from siftfunnel.edge_client.transport import CallEnded
from siftfunnel.edge_client.troubles import trouble_of
from siftfunnel.edge_client.window import Failed

_log = logging.getLogger(__name__)

_QUIET_S = 2.0
_PLAIN_TO_TLS_SIGNS = ("Socket closed", "Connection reset", "Broken pipe", "Endpoint closing")


class Redial:
    """Decides after each call; for streams and single calls.

    Args:
        reconnection: the outage, and how long it may last.
        address: all servers, and the protection of the way to them.
    """

    def __init__(self, reconnection: Reconnection, address: ServerAddress) -> None:
        self._reconnection = reconnection
        self._address = address
        self._absence: str | None = None

    def present(self) -> None:
        """Somebody may be there: budgets that run out from here on do so for another reason."""
        self._absence = None

    def told(self, failed: Failed) -> Failed:
        """What became of a frame, with the lack of a server as the reason where its budget ran out in one."""
        if self._absence is None or failed.code != BUDGET_EXCEEDED:
            return failed
        return replace(failed, message=f"the budget ran out: {self._absence}")

    def wait_s(
        self,
        end: CallEnded,
        server: str,
        *,
        opened: bool,
        fault: str | None = None,
        was_connected: bool = False,
    ) -> float:
        """How long to wait before the next attempt, seconds.

        What is in the way and may go by itself, such as a clock that is not set yet, is logged once, and so
        is an outage that lasts.

        Args:
            end: how the call ended.
            server: who was called.
            opened: whether this call, or its connection, had worked before.
            fault: why the client ended it, as the end of a sentence about the server.
            was_connected: whether there was a connection to any server before.

        Raises:
            EdgeError: trying again does not help, or has gone on for too long.
        """
        error = status_error(end.status, end.details, server, opened=opened)
        over_tls = bool(self._address.tls)
        absent = unreachable(self._address.target, str(end), was_connected=was_connected, over_tls=over_tls)
        self._absence = None if opened or fault else str(error or absent)
        if error and self._reconnection.refused(server):
            raise error
        trouble = None if opened else trouble_of(end.details)
        if trouble is not None and self._reconnection.is_news(trouble.sign):
            _log.warning("%s; trying again", trouble.error(server, end.details))
        now_s = time.monotonic()
        wait_s = self._reconnection.lost(now_s, stalled=fault is not None)
        if wait_s is not None:
            if trouble is None:
                self._say_that_it_lasts(now_s)
            return wait_s
        if fault is not None:
            raise ServerUnreachable(f"{server} is there and {fault}")
        raise absent

    def _say_that_it_lasts(self, now_s: float) -> None:
        down_s, left_s = self._reconnection.down_s(now_s), self._reconnection.left_s(now_s)
        if down_s >= _QUIET_S and self._reconnection.is_news(self._address.target):
            _log.warning("waiting for a server at %s, at most %.0f s more", self._address.target, left_s)


def unreachable(server: str, last: str, *, was_connected: bool, over_tls: bool) -> ServerUnreachable:
    """The error after the connect timeout, with what to do about it.

    Args:
        server: the address dialled.
        last: status and text of the last attempt.
        was_connected: whether there was a connection before.
        over_tls: whether TLS was spoken.
    """
    if (trouble := trouble_of(last)) is not None:
        return trouble.error(server, last)
    if was_connected:
        text = f"lost the server at {server} and could not get it back"
    elif not over_tls and any(sign in last for sign in _PLAIN_TO_TLS_SIGNS):
        text = f"something at {server} hangs up; if it is a server that wants TLS, give --tls-ca or --tls"
    else:
        text = f"no server at {server}; is `siftfunnel cloud` running there?"
    return ServerUnreachable(f"{text} ({last})")
