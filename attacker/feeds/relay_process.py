"""The relay's own process: it copies, and hands what passed to the tap's process when that has time.

    clients <==> Copier <==> target          stdout: a JSON line with the address or the error, then counts
                   |                         stdin:  its end means stop
                 Spool --> socket given by its number

The tap's process runs Python at full tilt (decoding, scoring, a web server); in one process with it the
copying would wait for the interpreter lock, 5 ms at a time. Nothing is imported here that copying does not
need.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import sys
from collections.abc import Sequence

from siftfunnel.attacker.feeds.config import RelayConfig, TapConfig
from siftfunnel.attacker.feeds.copier import Copier
from siftfunnel.attacker.feeds.spool import Finished, Spool, SpoolItem
from siftfunnel.attacker.tap.events import FeedError

_REPORT_S = 0.1
_STOP_TIMEOUT_S = 5.0
_SEND_BYTES = 1 << 18


def main(arguments: Sequence[str]) -> int:
    """Run until stdin ends; arguments are the tap's text form, the spool's bytes and the socket's number."""
    text, spool_bytes, number = arguments
    # Ctrl-C and a signal to the group reach this process too; it ends when the tap's process lets go of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A reader that does not read must not hold up the copying: what it has no room for is not said.
    os.set_blocking(sys.stdout.fileno(), False)
    with socket.socket(fileno=int(number)) as outlet:
        return asyncio.run(_relay(text, Spool(int(spool_bytes)), outlet))


async def _relay(text: str, spool: Spool, outlet: socket.socket) -> int:
    config, loop = TapConfig.parse(text), asyncio.get_running_loop()
    assert isinstance(config, RelayConfig)
    sending = _Sending(spool, outlet)

    def tee(item: SpoolItem) -> None:
        spool.put(item)
        sending.wake()

    copier = Copier(config.target, tee)
    try:
        _say(address=str(await copier.listen(config.listen)))
    except FeedError as error:
        _say(error=str(error))
        return 1
    stopped = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stopped.set)
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _REPORT_S)
        _report(copier, spool)
    await copier.stop()
    spool.put(Finished())
    sending.finish()
    _report(copier, spool)
    return 0


class _Sending:
    """Passes items on as fast as the tap takes them; the spool is where the bytes wait meanwhile."""

    def __init__(self, spool: Spool, outlet: socket.socket) -> None:
        self._spool, self._outlet = spool, outlet
        self._loop = asyncio.get_running_loop()
        self._writing = False
        outlet.setblocking(False)

    def wake(self) -> None:
        """There is something to send."""
        if not self._writing and self._spool.waiting:
            self._writing = True
            self._loop.add_writer(self._outlet, self._send)

    def finish(self) -> None:
        """Send the rest, as far as the tap takes it within some seconds."""
        self._loop.remove_writer(self._outlet)
        self._outlet.settimeout(_STOP_TIMEOUT_S)
        with contextlib.suppress(OSError):
            self._outlet.sendall(self._spool.waiting)

    def _send(self) -> None:
        waiting = self._spool.waiting
        try:
            with memoryview(waiting) as view:
                sent = self._outlet.send(view[:_SEND_BYTES])
        except BlockingIOError:
            return
        except OSError:
            sent = len(waiting)  # nobody listens any more
        del waiting[:sent]
        if not waiting:
            self._writing = False
            self._loop.remove_writer(self._outlet)


def _report(copier: Copier, spool: Spool) -> None:
    p50_us, p99_us = percentiles(list(copier.latencies_us))
    _say(
        bytes_copied=copier.bytes_copied,
        missed_bytes=spool.missed_bytes,
        missed_connections=spool.missed_connections,
        refused=copier.refused,
        p50_us=p50_us,
        p99_us=p99_us,
    )


def _say(**values: object) -> None:
    with contextlib.suppress(OSError):  # where nobody listens any more, stdin is at its end as well
        os.write(sys.stdout.fileno(), json.dumps(values).encode() + b"\n")


def percentiles(samples: list[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile; None without samples.

    >>> percentiles([1.0, 2.0, 3.0])
    (2.0, 3.0)
    """
    if not samples:
        return None, None
    ordered = sorted(samples)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
