"""A link that goes down for a while: both ends' packets vanish, without a word to their sockets."""

import contextlib
import threading
import time

from siftfunnel.bench.links.link import Link
from siftfunnel.bench.links.namespaces import CLOUD_ADDRESS, DEVICE_ADDRESS, LinkUnavailableError, ip


def drop_link(link: Link, seconds: float) -> None:
    """Take the link down for a time; returns when it is up again.

    Raises:
        LinkUnavailableError: its ends are in no namespaces of their own, so nothing can be taken down.
    """
    ends = link.namespaces
    if ends is None:
        raise LinkUnavailableError(
            f"a link kept by {link.emulation} cannot be dropped; dropping needs namespaces (root)"
        )
    routes = ((ends.device, CLOUD_ADDRESS), (ends.cloud, DEVICE_ADDRESS))
    with contextlib.ExitStack() as stack:
        for namespace, other in routes:
            # a route of one address goes before that of the link's network
            ip("-n", namespace, "route", "add", "blackhole", f"{other}/32")
            stack.callback(ip, "-n", namespace, "route", "delete", "blackhole", f"{other}/32")
        time.sleep(seconds)


def drop_later(link: Link, after_s: float, seconds: float) -> threading.Timer:
    """Take the link down after a time, on a thread of its own; cancel the timer if it has not begun."""
    timer = threading.Timer(after_s, drop_link, (link, seconds))
    timer.daemon = True
    timer.start()
    return timer
