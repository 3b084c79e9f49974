"""A link between two namespaces in user space: two TUN interfaces, and this process between them.

The carrier is a process of its own, so that no measurement shares its interpreter. Python carries about
50,000 packets a second on one core; how late it was with them is part of what it reports.
"""

import argparse
import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from siftfunnel.bench.links.namespaces import (
    CLOUD_ADDRESS,
    DEVICE_ADDRESS,
    LinkUnavailableError,
    Namespaces,
    address,
    ip,
)
from siftfunnel.bench.links.pipe import Pipe
from siftfunnel.bench.links.profiles import LinkProfile
from siftfunnel.shared.children import python_module

TUN_DEVICE = Path("/dev/net/tun")
INTERFACE = "sift0"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PR_SET_TIMERSLACK, _SLACK_NS = 29, 1_000
_LARGEST_PACKET_BYTES = 65_535
_PACKETS_AT_ONCE = 64
_STOP_TIMEOUT_S = 5.0


@dataclass
class Tally:
    """What the carrier did; lateness is against the arrival time that the pipe computed.

    Attributes:
        carried: Packets delivered.
        lost: Packets lost by intent.
        queue_full: Packets dropped because the queue was full.
        lateness_us_sum: Sum over delivered packets of how late each was, in microseconds.
        lateness_us_max: The latest.
    """

    carried: int = 0
    lost: int = 0
    queue_full: int = 0
    lateness_us_sum: float = 0.0
    lateness_us_max: float = 0.0


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


def carry(device: int, cloud: int, up: Pipe, down: Pipe, tally: Tally) -> None:
    """Move packets between two descriptors until ``KeyboardInterrupt``."""
    ways = {device: (cloud, up), cloud: (device, down)}
    due: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        now_s = time.monotonic()
        while due and due[0][0] <= now_s:
            arrival_s, _, target, packet = heapq.heappop(due)
            # an interface that is going down refuses packets; a link drops them too
            with contextlib.suppress(OSError):
                os.write(target, packet)
            now_s = time.monotonic()
            late_us = (now_s - arrival_s) * 1e6
            tally.carried += 1
            tally.lateness_us_sum += late_us
            tally.lateness_us_max = max(tally.lateness_us_max, late_us)
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
                if fate == "lost":
                    tally.lost += 1
                elif fate == "queue full":
                    tally.queue_full += 1
                else:
                    number += 1
                    heapq.heappush(due, (float(fate), number, target, packet))


def main(argv: list[str] | None = None) -> int:
    """The carrier's process: prints ``ready``, carries until it is stopped, then prints its tally as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True, help="a LinkProfile as JSON")
    parser.add_argument("--device-namespace", required=True)
    parser.add_argument("--cloud-namespace", required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args(argv)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(OSError, AttributeError):
        # sleeps end within a microsecond of their time instead of fifty
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
    profile = LinkProfile.from_json(args.profile)
    tally = Tally()
    try:
        pid = os.getpid()
        device = open_tun(f"sd{pid}", args.device_namespace, DEVICE_ADDRESS)
        cloud = open_tun(f"sc{pid}", args.cloud_namespace, CLOUD_ADDRESS)
        print("ready", flush=True)
        up, down = (
            Pipe(direction, random.Random(f"{args.seed} {name}"))
            for name, direction in (("up", profile.up), ("down", profile.down))
        )
        carry(device, cloud, up, down, tally)
    except LinkUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(json.dumps(asdict(tally)), flush=True)
    return 0


class TunLink:
    """A running carrier.

    Attributes:
        tally: What it did, once the link is down; None before.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.tally: Tally | None = None

    def stop(self) -> None:
        """Take the link down and read what was carried."""
        self._process.terminate()
        try:
            text, _ = self._process.communicate(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return
        lines = text.strip().splitlines()
        if lines:
            self.tally = Tally(**json.loads(lines[-1]))


def missing_for_tun() -> str | None:
    """What this machine lacks for a TUN link besides namespaces, in words; None when it lacks nothing."""
    return None if TUN_DEVICE.exists() else f"the device {TUN_DEVICE} (kernel module tun)"


@contextlib.contextmanager
def tun_link(profile: LinkProfile, namespaces: Namespaces, *, seed: int = 1) -> Iterator[TunLink]:
    """Lay the link between two namespaces, and take it down afterwards.

    Raises:
        LinkUnavailableError: no TUN device, or its carrier did not start.
    """
    lacking = missing_for_tun()
    if lacking:
        raise LinkUnavailableError(f"emulating a link in user space needs {lacking}")
    command = python_module("siftfunnel.bench.links.tun", "--profile", profile.to_json())
    command += ["--seed", str(seed)]
    command += ["--device-namespace", namespaces.device, "--cloud-namespace", namespaces.cloud]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        _, said = process.communicate()
        raise LinkUnavailableError(f"the link's carrier did not start: {said.strip()}")
    link = TunLink(process)
    try:
        yield link
    finally:
        link.stop()


if __name__ == "__main__":
    sys.exit(main())
