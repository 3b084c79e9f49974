"""A link between two namespaces in user space: two TUN interfaces, and this process between them.

The carrier is a process of its own, so that no measurement shares its interpreter. Python carries about
50,000 packets a second on one core; calibration tells how late it is with them.
"""

import contextlib
import ctypes
import fcntl
import heapq
import os
import select
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from siftfunnel.bench.children import announced, child, tell
from siftfunnel.bench.links.namespaces import (
    CLOUD_ADDRESS,
    DEVICE_ADDRESS,
    INTERFACE,
    LinkUnavailableError,
    Namespaces,
    address,
    ip,
)
from siftfunnel.bench.links.pipe import Pipe, pipes
from siftfunnel.bench.links.profiles import LinkProfile
from siftfunnel.bench.stored import as_json, read

TUN_DEVICE = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PR_SET_TIMERSLACK, _SLACK_NS = 29, 1_000
_LARGEST_PACKET_BYTES = 65_535
_PACKETS_AT_ONCE = 64


def open_tun(interface: str, namespace: str, own: str) -> int:
    """Make a TUN interface, move it into a namespace and give it an address; its file descriptor."""
    descriptor = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", interface.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    ip("link", "set", interface, "netns", namespace)
    # both ends carry the same name once they are apart
    ip("-n", namespace, "link", "set", interface, "name", INTERFACE)
    address(INTERFACE, namespace, own)
    return descriptor


def carry(device: int, cloud: int, up: Pipe, down: Pipe) -> None:
    """Move packets between two descriptors until ``KeyboardInterrupt``."""
    ways = {device: (cloud, up), cloud: (device, down)}
    due: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        now_s = time.monotonic()
        while due and due[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(due)
            # an interface that is going down refuses packets; a link drops them too
            with contextlib.suppress(OSError):
                os.write(target, packet)
            now_s = time.monotonic()
        wait_s = max(0.0, due[0][0] - now_s) if due else None
        ready, _, _ = select.select([device, cloud], [], [], wait_s)
        for source in ready:
            target, pipe = ways[source]
            for _ in range(_PACKETS_AT_ONCE):
                try:
                    packet = os.read(source, _LARGEST_PACKET_BYTES)
                except BlockingIOError:
                    break
                fate = pipe.admit(time.monotonic(), len(packet))
                if isinstance(fate, float):
                    number += 1
                    heapq.heappush(due, (fate, number, target, packet))


def lay(profile: dict[str, Any], device_namespace: str, cloud_namespace: str, seed: int) -> None:
    """The carrier's process: makes both interfaces, says so, and carries until it is stopped."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(OSError, AttributeError):
        # sleeps end within a microsecond of their time instead of fifty
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
    pid = os.getpid()
    device = open_tun(f"sd{pid}", device_namespace, DEVICE_ADDRESS)
    cloud = open_tun(f"sc{pid}", cloud_namespace, CLOUD_ADDRESS)
    up, down = pipes(read(LinkProfile, profile, "link"), seed)
    tell(interface=INTERFACE)
    carry(device, cloud, up, down)


def missing_for_tun() -> str | None:
    """What this machine lacks for a TUN link besides namespaces, in words; None when it lacks nothing."""
    return None if TUN_DEVICE.exists() else f"the device {TUN_DEVICE} (kernel module tun)"


@contextlib.contextmanager
def tun_link(profile: LinkProfile, namespaces: Namespaces, *, seed: int = 1) -> Iterator[None]:
    """Lay the link between two namespaces, and take it down afterwards.

    Raises:
        LinkUnavailableError: no TUN device.
        NotStartedError: its carrier did not start.
    """
    lacking = missing_for_tun()
    if lacking:
        raise LinkUnavailableError(f"emulating a link in user space needs {lacking}")
    ends = {"device_namespace": namespaces.device, "cloud_namespace": namespaces.cloud}
    with announced(child(lay, profile=as_json(profile), **ends, seed=seed)):
        yield
