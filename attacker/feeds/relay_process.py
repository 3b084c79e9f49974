"""The relay's own process: it copies, and hands what passed to the tap's process when that has time.

    clients <==> Copier <==> target          stdout: a JSON line with the address or the error, then counts
                   |                         stdin:  its end means stop
                 Spool --> writer --> socket given by its number

The tap's process runs Python at full tilt (decoding, scoring, a web server); in one process with it the
copying thread would wait for the interpreter lock, 5 ms at a time. Nothing is imported here that copying does
not need.
"""

import json
import select
import signal
import socket
import statistics
import sys
import threading
from collections.abc import Sequence

from siftfunnel.attacker.feeds.config import parse_relay
from siftfunnel.attacker.feeds.copier import Copier
from siftfunnel.attacker.feeds.spool import Finished, Spool
from siftfunnel.attacker.feeds.spool_wire import pack_item
from siftfunnel.attacker.tap.events import FeedError

_REPORT_S = 0.1
_STOP_TIMEOUT_S = 5.0
_SWITCH_INTERVAL_S = 0.0002


def main(arguments: Sequence[str]) -> int:
    """Run until stdin ends; arguments are the tap's text form, the spool's bytes and the socket's number."""
    text, spool_bytes, number = arguments
    # Ctrl-C and a signal to the group reach this process too; it ends when the tap's process lets go of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    config = parse_relay(text)
    spool = Spool(int(spool_bytes))
    copier = Copier(config.listen, config.target, spool.put)
    with socket.socket(fileno=int(number)) as outlet:
        try:
            _say(address=str(copier.bind()))
        except FeedError as error:
            _say(error=str(error))
            return 1
        writing = threading.Thread(target=_write, args=(spool, outlet), daemon=True)
        copying = threading.Thread(target=copier.run, daemon=True)
        writing.start()
        copying.start()
        while copying.is_alive() and not select.select([sys.stdin], [], [], _REPORT_S)[0]:
            _report(copier, spool)
        copier.stop()
        copying.join(_STOP_TIMEOUT_S)
        spool.put(Finished())
        writing.join(_STOP_TIMEOUT_S)
        _report(copier, spool)
    return 0


def _write(spool: Spool, outlet: socket.socket) -> None:
    """Pass items on, waiting as long as the tap takes; the spool is where the bytes wait meanwhile."""
    finished = False
    while not finished:
        item = spool.take(timeout_s=1.0)
        if item is None:
            continue
        finished = isinstance(item, Finished)
        header, body = pack_item(item)
        try:
            outlet.sendall(header)
            outlet.sendall(body)
        except OSError:
            return


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
    try:
        print(json.dumps(values), flush=True)
    except OSError:
        # Nobody listens any more: stdin is at its end as well, and says so.
        return


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
